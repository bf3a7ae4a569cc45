"""One step of training: forward pass, loss, backward pass and the optimiser's update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from vigbench.ops.registry import UnsupportedError
from vigbench.suites.axes import Phase, Precision
from vigbench.suites.case import Case

# So small that thousands of steps leave the weights, and with them the work, as they were checked.
LEARNING_RATE = 1e-8
BETAS, EPS, WEIGHT_DECAY = (0.9, 0.999), 1e-8, 0.05


@dataclass
class TrainingStep:
    """A step that can be called as a whole, or part by part: `forward`, `backward`, `update`.

    Attributes:
        loss: forward pass of the model or of its compiled form, to a scalar loss.
        plain_loss: the same of the plain model, which has the parameters.
    """

    loss: Callable[[], Tensor]
    plain_loss: Callable[[], Tensor]
    optimizer: AdamW
    _loss: Tensor | None = field(default=None, init=False)

    def __call__(self) -> None:
        """The whole step, nothing waited for. It leaves its gradients, and clears those of the step before."""
        self.optimizer.zero_grad(set_to_none=True)
        self.forward()
        self.backward()
        self.optimizer.step()

    def forward(self) -> None:
        """Forward pass, recorded by autograd, and loss."""
        self._loss = self.loss()

    def backward(self) -> None:
        """Gradients of all parameters; lets go of what the forward pass saved."""
        assert self._loss is not None, "there is no forward pass to go back through"
        self._loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        self._loss = None

    def update(self) -> None:
        """The optimiser's step, which ends the gradients."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def current_loss(self) -> float:
        """The plain model's loss with the weights as they are now; changes no gradient."""
        with torch.no_grad():
            return float(self.plain_loss())

    def optimizer_state(self) -> list[Tensor]:
        """What the optimiser keeps from step to step: two moments and a counter for each parameter."""
        return [value for state in self.optimizer.state.values() for value in state.values() if torch.is_tensor(value)]


def make_optimizer(model: nn.Module, case: Case) -> AdamW:
    """AdamW over all parameters in their own dtype, in one fused kernel call.

    Raises:
        UnsupportedError: if the case's precision cannot hold its state, or nothing can be trained.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise UnsupportedError(f"{case.subject} has no trainable parameter; measure it with --phase inference.")
    return AdamW(
        parameters,
        lr=LEARNING_RATE,
        betas=BETAS,
        eps=EPS,
        weight_decay=WEIGHT_DECAY,
        fused=True,  # one pass without intermediates of the weights' size
        capturable=case.cuda_graph,
    )


def require_steppable(case: Case) -> None:
    """Raise UnsupportedError where AdamW's state underflows: squared gradients are 0 in float16."""
    if case.phase is Phase.training_step and case.precision is Precision.float16:
        raise UnsupportedError(
            "AdamW's second moment underflows in float16, whose training needs loss scaling and float32 weights; "
            "choose bfloat16 or float32, or --phase training."
        )


def describe_optimizer(optimizer: AdamW) -> str:
    """Its name and settings, for the record."""
    settings = optimizer.param_groups[0]
    numbers = ", ".join(f"{name}={settings[name]}" for name in ("lr", "betas", "eps", "weight_decay"))
    flags = [name for name in ("fused", "foreach", "capturable") if settings[name]]
    return f"{type(optimizer).__name__}({', '.join([numbers, *flags])})"
