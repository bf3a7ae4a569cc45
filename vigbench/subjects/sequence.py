"""The task of an operator that is measured on its own: sequences of tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.ops.declaration import OperatorInfo, OperatorSubject
from vigbench.ops.gla import bidirectional_gla, bidirectional_gla_from_logits, gla
from vigbench.ops.registry import get_implementation, get_operator
from vigbench.subjects.operators import OPERATORS
from vigbench.subjects.task import DTYPES, SEED, Inputs, Probe, Result, Task
from vigbench.suites.axes import MemoryFormat, Phase
from vigbench.suites.case import Case
from vigbench.suites.shape import Shape

DECAY_DIVISOR = 16.0  # of ViG's log-decays: logsigmoid(x) / 16
OUTPUT_GRADIENT = "output_gradient"
WINDOW, MARGIN = 2048, 1024  # tokens; over the margin, decays of -0.05 a token leave e**-50 of a state


class OperatorCall(nn.Module):
    """An operator as a network without weights, of tensors (batch, length, heads, dim).

    Takes q, k, v and a log-decay, or its logit, for each direction; gives (batch, length, heads, value_dim) like v.
    """

    def __init__(self, subject: OperatorSubject, implementation: str, scale: float) -> None:
        super().__init__()
        self.subject, self.implementation, self.scale = subject, implementation, scale
        # found here: a look-up in a call would break torch.compile's graph
        self.attend: Callable[..., Any] | None = None
        if subject.directions == 0:
            self.attend = get_implementation(subject.operator, implementation).load()

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *decays: Tensor) -> Tensor:
        """scale * (sum over the directions, or over all pairs)."""
        if self.attend is not None:
            out: Tensor = self.attend(q, k, v, self.scale, self.subject.causal)
            return out
        if self.subject.directions == 1:
            return gla(q, k, v, decays[0], self.scale, implementation=self.implementation)
        both = (q, k, v, decays[0], decays[1])
        if self.subject.logits:
            return bidirectional_gla_from_logits(*both, DECAY_DIVISOR, self.scale, self.implementation)
        return bidirectional_gla(*both, self.scale, self.implementation)


@dataclass(frozen=True)
class SequenceTask(Task):
    """q, k, v and log-decays (batch, length, heads, dim); in training also the gradient of the output.

    They lie in the inputs, not in weights: there is nothing to train but them.
    """

    subject: OperatorSubject

    name = "sequence"
    unit = "sequence"
    axes = ("length", "shape")
    gradient_measure = "largest"
    phases = (Phase.inference, Phase.training)  # there are no weights to update

    @property
    def declared(self) -> OperatorInfo:
        """What is known of the operator."""
        return get_operator(self.subject.operator)

    @property
    def tolerance(self) -> Mapping[str, float]:  # type: ignore[override]
        """The operator's, of output and each gradient."""
        return self.declared.tolerance

    @property
    def gradient_tolerance(self) -> Mapping[str, float]:  # type: ignore[override]
        """The same."""
        return self.declared.tolerance

    def require_axes(self, subject: str, given: Collection[str]) -> None:
        if set(given) != set(self.axes):
            raise ValueError(
                f"{subject} is an operator: give it --length and --shape, and no resolution, as suite kernels-gla does."
            )

    def require(self, case: Case) -> None:
        if case.memory_format is not MemoryFormat.contiguous:
            raise ValueError(f"{case.memory_format} is a layout of images: leave it out for an operator.")
        super().require(case)

    def build(self, case: Case) -> OperatorCall:
        """The operator with the scale of its heads."""
        return OperatorCall(self.subject, case.implementation, _shape(case).key_dim ** -0.5)

    def make_inputs(self, case: Case) -> Inputs:
        """q, k, v standard normal, log-decays logsigmoid(normal) / 16, as ViG's are before training.

        Fused attention takes equal dims only: narrower ones are filled up with zeros there, which change no product.
        """
        shape, length, subject = _shape(case), _length(case), self.subject
        device = case.device.value  # drawn there: a long batch would take a CPU many seconds
        generator = torch.Generator(device).manual_seed(SEED)

        def normal(dim: int, generator: torch.Generator = generator) -> Tensor:
            size = (case.batch_size, length, shape.heads, dim)
            return torch.randn(size, generator=generator, device=device)

        tensors = [normal(dim) for dim in (shape.key_dim, shape.key_dim, shape.value_dim)]
        logits = [normal(shape.key_dim) for _ in range(subject.directions)]
        tensors += logits if subject.logits else [F.logsigmoid(x) / DECAY_DIVISOR for x in logits]
        if subject.directions == 0 and shape.key_dim < shape.value_dim:
            tensors[:2] = [F.pad(x, (0, shape.value_dim - shape.key_dim)) for x in tensors[:2]]
        decays = ((), ("g",), ("g_fwd", "g_bwd"))[subject.directions]
        inputs = dict(zip(("q", "k", "v", *decays), tensors, strict=True))
        if case.phase.trains:
            inputs[OUTPUT_GRADIENT] = normal(shape.value_dim, torch.Generator(device).manual_seed(SEED + 1))
        dtype = DTYPES[case.precision]
        inputs = {name: tensor.to(dtype) for name, tensor in inputs.items()}
        return self.leaves(inputs) if case.phase.trains else inputs

    def arguments(self, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(tensor for name, tensor in inputs.items() if name != OUTPUT_GRADIENT), {}

    def start_of_backward(self, returned: Any, inputs: Inputs) -> Any:
        return returned

    def backward(self, returned: Any, inputs: Inputs) -> None:
        returned.backward(inputs[OUTPUT_GRADIENT])

    def leaves(self, inputs: Inputs) -> Inputs:
        return {name: tensor.detach().requires_grad_(name != OUTPUT_GRADIENT) for name, tensor in inputs.items()}

    def macs(self, case: Case) -> int:
        return self.subject.macs(_length(case), *_shape(case))

    def executed_macs(self, case: Case, counted: int) -> int:
        # torch's formula of fused attention knows no mask; above the diagonal all but part of a block is skipped
        materialises = get_implementation(self.subject.operator, case.implementation).materialises
        skips = self.subject.causal and not materialises
        return self.macs(case) if skips else counted

    def bytes_moved(self, case: Case) -> tuple[int, int]:
        shape = _shape(case)
        number = DTYPES[case.precision].itemsize * case.batch_size * _length(case)
        return number * self.subject.input_elements(*shape), number * shape.heads * shape.value_dim

    def checked(self, inputs: Inputs) -> Inputs:
        return inputs

    def largest_checked(self, case: Case, operator: str) -> float:
        assert self.declared.longest is not None, (
            "an operator that is a subject says how long a sequence its reference takes"
        )
        return self.declared.longest.of(case.phase.trains)

    def probe(
        self,
        model: nn.Module,
        case: Case,
        inputs: Inputs,
        extent: float,
        build: Callable[[Case], nn.Module],
    ) -> Probe:
        """The first tokens of one sequence."""
        length = int(extent)
        return Probe(f"{length} tokens", {"length": length}, model, _cut(inputs, 0, 0, length))

    def probes_of_whole(self, model: nn.Module, case: Case, inputs: Inputs, whole: Result) -> list[Probe]:
        """The last tokens of the last sequence, of which what lies before the window has no part left."""
        if self.subject.directions == 0:
            return []  # every token of attention depends on every other
        length = _length(case)
        first = max(0, length - WINDOW)
        settled = MARGIN if first > 0 else 0
        return [
            Probe(
                f"the end of the last sequence, {case.extent_text}",
                {"length": length},
                model,
                _cut(inputs, case.batch_size - 1, first, length),
                found=_last_from(whole, first + settled),
                compared=lambda result: _last_from(result, settled),
            )
        ]

    def reference(self, model: nn.Module, operator: str) -> tuple[nn.Module, torch.dtype]:
        assert isinstance(model, OperatorCall)
        twin = OperatorCall(self.subject, self.declared.reference, model.scale)
        return twin, getattr(torch, self.declared.reference_dtype)


def _shape(case: Case) -> Shape:
    assert case.shape is not None
    return case.shape


def _length(case: Case) -> int:
    assert case.length is not None
    return case.length


def _cut(inputs: Inputs, sequence: int, first: int, end: int) -> Inputs:
    return {name: tensor.detach()[sequence : sequence + 1, first:end].clone() for name, tensor in inputs.items()}


def _last_from(result: Result, token: int) -> Result:
    """Of the last sequence what begins at a token."""
    outputs, gradients = ({name: tensor[-1:, token:] for name, tensor in part.items()} for part in result)
    return outputs, gradients


SEQUENCES = {name: SequenceTask(subject) for name, subject in OPERATORS.items()}
