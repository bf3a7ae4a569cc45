"""Inside the worker: does a training step update the weights as AdamW does, and do they stay what they were?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from vigbench.measure.adamw_rule import Snapshot, broken_step, parameters_of, snapshot
from vigbench.runner.gate import WrongResultError
from vigbench.runner.training_step import TrainingStep

# A step of about 1, which no weight's rounding hides; that which is timed would round away in bfloat16.
VISIBLE_LEARNING_RATE = 1.0


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
