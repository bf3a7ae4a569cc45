"""The model, its inputs and one iteration of a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vigbench.measure.settings import apply_settings
from vigbench.nearest import one_of
from vigbench.subjects.catalog import build_case, fill_weights, task_of
from vigbench.subjects.factory import FactoryError
from vigbench.subjects.own import is_own
from vigbench.subjects.task import DTYPES, SEED, Inputs, Task, kind_of
from vigbench.suites.axes import MemoryFormat, Phase
from vigbench.suites.case import Case
from vigbench.worker.training_step import TrainingStep, make_optimizer
from vigbench.worker.values import require_values


def apply_case_settings(case: Case) -> None:
    """Set every ambient switch of this process as the case says."""
    apply_settings(threads=case.threads, tf32=case.tf32)


def build_on_device(case: Case) -> nn.Module:
    """The case's model with seeded weights, or its operator, in its dtype, layout and mode, on its device.

    Raises:
        UnsupportedError: if a tensor of it has no values.
    """
    model = build_case(case)
    if not is_own(case.subject):  # a factory's own weights are left alone
        fill_weights(model, SEED)
    require_values(model, case)
    model = model.to(device=case.device.value, dtype=DTYPES[case.precision])
    if case.memory_format is not MemoryFormat.contiguous:
        model = model.to(memory_format=task_of(case.subject).layouts[case.memory_format])
    return model.train(case.phase.trains)


def make_inputs(case: Case, task: Task) -> Inputs:
    """The batch of a case by its task.

    Raises:
        FactoryError: if that is none: what users declare themselves may be anything.
    """
    inputs = task.make_inputs(case)
    said = f"Subject {case.subject!r}: `make_inputs` of its task {task.name}"
    tensors = isinstance(inputs, Mapping) and all(isinstance(tensor, Tensor) for tensor in inputs.values())
    if not tensors or not inputs:
        raise FactoryError(f"{said} has to give tensors by name, and gave {kind_of(inputs)}.")
    if elsewhere := [name for name, tensor in inputs.items() if tensor.device.type != case.device]:
        raise FactoryError(f"{said} has to put its tensors on {case.device}; {one_of(elsewhere)} is elsewhere.")
    return inputs


def runnable(model: nn.Module, case: Case) -> Callable[..., Any]:
    """The model itself, or its compiled form where the case asks for that."""
    return torch.compile(model) if case.compile else model


def clear_gradients(model: nn.Module, inputs: Inputs) -> None:
    """Drop the gradients of parameters and inputs."""
    model.zero_grad(set_to_none=True)
    for tensor in inputs.values():
        tensor.grad = None


def iteration(model: nn.Module, case: Case, task: Task, inputs: Inputs) -> tuple[Callable[[], Any], Callable[[], None]]:
    """One iteration of the case, and what waits for its device.

    Inference is one forward pass in inference mode; training is one forward and one backward pass as the task has them,
    without an optimiser; a training step (a `TrainingStep`) ends with AdamW's update.

    Raises:
        UnsupportedError: if there is nothing to train.
    """
    run = runnable(model, case)
    synchronize = torch.cuda.synchronize if case.device == "cuda" else _nothing
    if case.phase is Phase.training_step:
        step = TrainingStep(
            lambda: task.loss(task.call(run, inputs), inputs),
            lambda: task.loss(task.call(model, inputs), inputs),
            make_optimizer(model, case),
        )
        return step, synchronize

    def infer() -> Any:
        with torch.inference_mode():
            return task.iterate(run, inputs, case)

    def train() -> None:
        clear_gradients(model, inputs)
        task.backward(task.call(run, inputs), inputs)

    return (train if case.phase.trains else infer), synchronize


def _nothing() -> None:
    """The CPU has finished when a call returns."""
