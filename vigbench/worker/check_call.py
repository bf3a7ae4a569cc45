"""Does a compiled or captured call compute what the plain model does, and a training step what AdamW does?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from vigbench.measure.adamw_rule import Snapshot, broken_step, parameters_of, snapshot
from vigbench.measure.correctness import gradient_error, relative_error
from vigbench.subjects.task import Gradients, Inputs, Task, gradients_of
from vigbench.suites.case import Case
from vigbench.worker.build import clear_gradients
from vigbench.worker.check_subject import WrongResultError
from vigbench.worker.training_step import TrainingStep

# A step of about 1, which no weight's rounding hides; that which is timed would round away in bfloat16.
VISIBLE_LEARNING_RATE = 1.0


@dataclass(frozen=True)
class Plain:
    """What the plain model computes on the whole batch.

    Attributes:
        outputs: by name, in inference.
        gradients: of parameters and inputs, in training.
        random: whether a run draws random numbers (noise, dropout) or a second one gave something else: then nothing
            can be compared. Dropped labels change a run in ten.
    """

    outputs: Mapping[str, Tensor] = field(default_factory=dict)
    gradients: Gradients = field(default_factory=dict)
    random: bool = False


def run_plain(model: nn.Module, case: Case, task: Task, inputs: Inputs) -> Plain:
    """Run the plain model twice, before another form of it takes the memory; in training leaves no gradients."""
    before = _generators(case)
    plain = _run_twice(model, case, task, inputs)
    moved = any(not torch.equal(one, other) for one, other in zip(before, _generators(case), strict=True))
    return replace(plain, random=plain.random or moved)


def _run_twice(model: nn.Module, case: Case, task: Task, inputs: Inputs) -> Plain:
    """`random` here where the second run gave something else."""
    if not case.phase.trains:
        with torch.inference_mode():
            once, again = ({**task.outputs(task.iterate(model, inputs, case))} for _ in range(2))
            return Plain(outputs=once, random=not _largest_error(again, once, task) <= task.tolerance[case.mantissa])
    first, second = (_plain_gradients(model, task, inputs) for _ in range(2))
    error, _ = gradient_error(second, first)
    return Plain(gradients=first, random=not error <= task.gradient_tolerance[case.mantissa])


def check_call(
    call: Callable[[], object], plain: Plain, model: nn.Module, case: Case, task: Task, inputs: Inputs
) -> None:
    """Compare what a compiled or captured call computes with the plain model, unless that is random itself.

    Raises:
        WrongResultError: if it differs by more than the precision allows.
    """
    result = call()
    if plain.random:
        return
    allowed = (task.tolerance if plain.outputs else task.gradient_tolerance)[case.mantissa]
    if plain.outputs:
        with torch.inference_mode():
            found = task.outputs(result)
            error = _largest_error(found, plain.outputs, task)
    else:
        error, _ = gradient_error(gradients_of(model, inputs), plain.gradients)
    if not error <= allowed:
        what = "compiled" if case.compile else "captured"
        raise WrongResultError(
            f"The {what} model differs from the plain one by {error:.1e}; {allowed:.0e} is allowed in "
            f"{case.precision}. Nothing was timed."
        )


def _generators(case: Case) -> list[Tensor]:
    """The states of torch's generators that a model may draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if case.device == "cuda" else [])]


def _largest_error(found: Mapping[str, Tensor], outputs: Mapping[str, Tensor], task: Task) -> float:
    """Of all outputs; infinite where one is missing or has another shape."""
    if found.keys() != outputs.keys() or any(found[name].shape != output.shape for name, output in outputs.items()):
        return math.inf
    return max(relative_error(found[name], output, task.output_measure) for name, output in outputs.items())


def _plain_gradients(model: nn.Module, task: Task, inputs: Inputs) -> Gradients:
    clear_gradients(model, inputs)
    task.backward(task.call(model, inputs), inputs)
    found = gradients_of(model, inputs)
    clear_gradients(model, inputs)
    return found


def check_step(step: TrainingStep) -> float:
    """Compare one step, made large enough to be seen, with AdamW's rule; the weights are put back.

    Returns:
        The loss after it, at the weights that there were.

    Raises:
        WrongResultError: if the step is another, or the loss is not finite.
    """
    before = snapshot(step.optimizer)
    with _learning_rate(step, VISIBLE_LEARNING_RATE):
        _require_rule(step, step, before)
    with torch.no_grad():
        for parameter, old in zip(parameters_of(step.optimizer), before, strict=True):
            parameter.copy_(old.weight.view(parameter.shape))
    return finite_loss(step)


def check_replay(step: TrainingStep, replay: Callable[[], object]) -> None:
    """Compare what a replayed graph of the step does to weights and optimiser state with AdamW's rule.

    Its learning rate is part of the graph: in bfloat16 its effect on the weights is below their rounding.

    Raises:
        WrongResultError: if it is another step, or the loss is not finite.
    """
    _require_rule(step, replay, snapshot(step.optimizer))
    finite_loss(step)


def finite_loss(step: TrainingStep) -> float:
    """The loss now; WrongResultError if training has made it NaN or infinite."""
    loss = step.current_loss()
    if not math.isfinite(loss):
        raise WrongResultError(f"The loss is {loss} after these training steps; timings of such numbers mean nothing.")
    return loss


def _require_rule(step: TrainingStep, call: Callable[[], object], before: list[Snapshot]) -> None:
    call()
    if broken := broken_step(step.optimizer, before):
        raise WrongResultError(f"The optimiser's step is not AdamW's: {broken}. Nothing was timed.")


@contextmanager
def _learning_rate(step: TrainingStep, rate: float) -> Iterator[None]:
    groups = step.optimizer.param_groups
    usual = [group["lr"] for group in groups]
    try:
        for group in groups:
            group["lr"] = rate
        yield
    finally:
        for group, lr in zip(groups, usual, strict=True):
            group["lr"] = lr
