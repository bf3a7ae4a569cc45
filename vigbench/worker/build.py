"""The model, its inputs and one iteration of a case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vigbench.measure.settings import DTYPES, SEED
from vigbench.subjects.catalog import build_subject, fill_weights
from vigbench.subjects.own import is_own
from vigbench.suites.case import Case, Phase
from vigbench.worker.operator import build_operator, make_output_gradient
from vigbench.worker.training_step import TrainingStep, make_optimizer


def build_on_device(case: Case) -> nn.Module:
    """The case's model with seeded weights, or its operator, in its dtype, layout and mode, on its device."""
    if case.resolution is None:
        return build_operator(case)
    model = build_subject(case.subject, case.implementation, case.resolution)
    if not is_own(case.subject):  # a factory's own weights are left alone
        fill_weights(model, SEED)
    model = model.to(device=case.device.value, dtype=DTYPES[case.precision])
    if case.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model.train(case.phase.trains)


def make_inputs(case: Case) -> Tensor:
    """Normal random images (batch, 3, resolution, resolution) with a fixed seed, never zeros.

    An operator holds what it is applied to; its input here is the gradient of its output, where training needs one.
    """
    if case.resolution is None:
        return make_output_gradient(case)
    device = case.device.value  # drawn there: a batch of large images would take a CPU several seconds
    generator = torch.Generator(device).manual_seed(SEED)
    images = torch.randn(case.batch_size, 3, case.resolution, case.resolution, generator=generator, device=device)
    layout = torch.channels_last if case.channels_last else torch.contiguous_format
    return images.to(dtype=DTYPES[case.precision], memory_format=layout)


def runnable(model: nn.Module, case: Case) -> Callable[[Tensor], Tensor]:
    """The model itself, or its compiled form where the case asks for that."""
    return torch.compile(model) if case.compile else model


def loss_of(output: Tensor) -> Tensor:
    """The loss of the training phases: the mean square of the output, summed in float32."""
    return output.float().square().mean()


def run_backward(output: Tensor, inputs: Tensor, case: Case) -> None:
    """The backward pass: of a model from the loss, of an operator from the gradient of its output in `inputs`."""
    if case.is_operator:
        output.backward(inputs)  # type: ignore[no-untyped-call, unused-ignore]
    else:
        loss_of(output).backward()  # type: ignore[no-untyped-call, unused-ignore]


def gradients_of(model: nn.Module) -> dict[str, Tensor]:
    """Gradients by the parameter's name, of those that have one; not copies."""
    return {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


def iteration(model: nn.Module, case: Case, inputs: Tensor) -> tuple[Callable[[], Any], Callable[[], None]]:
    """One iteration of the case, and what waits for its device.

    Inference is one forward pass in inference mode; training is one forward and one backward pass, without an
    optimiser: of a model from the mean square of the output as a loss, of an operator from a gradient of its output; a
    training step (a `TrainingStep`, of models only) ends with AdamW's update.

    Raises:
        UnsupportedError: if there is nothing to train.
    """
    run = runnable(model, case)
    synchronize = torch.cuda.synchronize if case.device == "cuda" else _nothing
    if case.phase is Phase.training_step:
        return TrainingStep(run, model, inputs, loss_of, make_optimizer(model, case)), synchronize

    def infer() -> Tensor:
        with torch.inference_mode():
            return run(inputs)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        run_backward(run(inputs), inputs, case)

    return (train if case.phase.trains else infer), synchronize


def _nothing() -> None:
    """The CPU has finished when a call returns."""
