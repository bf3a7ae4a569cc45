"""Inside the worker: does a training step update the weights as AdamW does, and do they stay what they were?"""

from __future__ import annotations

import math
from collections.abc import Callable

from vigbench.measure.adamw_rule import broken_step, snapshot
from vigbench.runner.gate import WrongResultError
from vigbench.runner.training_step import TrainingStep


def check_step(step: TrainingStep, call: Callable[[], object]) -> float:
    """Compare one step's effect on weights and optimiser state with AdamW's rule, for the gradients that it leaves.

    Args:
        step: has the model and the optimiser.
        call: what is or will be timed: the step itself, or a captured graph's replay of it.

    Returns:
        The loss after it.

    Raises:
        WrongResultError: if the step is another, or the loss is not finite.
    """
    before = snapshot(step.optimizer)
    call()
    if broken := broken_step(step.optimizer, before):
        raise WrongResultError(f"The optimiser's step is not AdamW's: {broken}. Nothing was timed.")
    return finite_loss(step)


def finite_loss(step: TrainingStep) -> float:
    """The loss now; WrongResultError if training has made it NaN or infinite."""
    loss = step.current_loss()
    if not math.isfinite(loss):
        raise WrongResultError(f"The loss is {loss} after these training steps; timings of such numbers mean nothing.")
    return loss
