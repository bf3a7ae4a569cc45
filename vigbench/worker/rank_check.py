"""Does each rank compute its part of what a single process computes, and is that right?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from vigbench.subjects.task import Inputs, Task
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device
from vigbench.worker.check_subject import (
    SMALLEST_EXTENT,
    CheckResult,
    check,
    compare_results,
    if_it_fits,
    require_finite,
)
from vigbench.worker.rank_group import Team
from vigbench.worker.references import References


def check_ranks(
    model: nn.Module, case: Case, task: Task, operator: str | None, whole: Inputs, team: Team, references: References
) -> CheckResult:
    """Compare each rank's outputs and gradients with its part of what one process computes from the whole.

    What one process computes is compared with the reference as it always is, by rank 0. Where the whole does not fit
    into one process, all this happens at half the size, and half of that.

    Args:
        model: the whole one; what a single process runs.
        whole: the inputs of the whole batch.

    Returns:
        The largest errors of all ranks; those of rank 0 have in them what `check` found.

    Raises:
        UnsupportedError: if the subject cannot be cut so.
        WrongResultError: if a result is farther away than the precision allows, or not finite.
    """
    training = model.training
    model.eval()
    try:
        for smaller, size, inputs in _sizes(model, case, task, whole):
            found = _compared(smaller, size, task, inputs, team)
            if found is None:
                continue
            if not team.leads:
                return found
            alone = check(smaller, size, task, operator, inputs, references)
            errors = _largest(alone.error, found.error), _largest(alone.gradient_error, found.gradient_error)
            return replace(alone, error=errors[0], gradient_error=errors[1])
        return CheckResult(unverified=True)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)


def _sizes(model: nn.Module, case: Case, task: Task, whole: Inputs) -> Iterator[tuple[nn.Module, Case, Inputs]]:
    """The case itself, then one item at half its size, and so on."""
    yield model, case, whole
    extent = case.extent // 2
    while extent >= SMALLEST_EXTENT:
        probe = task.probe(model, case, whole, extent, build_on_device)
        yield probe.model, case.model_copy(update={**case.ALONE, **probe.checked_at}), probe.inputs
        extent //= 2


def _compared(model: nn.Module, case: Case, task: Task, inputs: Inputs, team: Team) -> CheckResult | None:
    """The largest errors over the ranks; None where one of them has no room for the whole."""
    place, trains, sharding = team.place, case.phase.trains, task.sharding(model, case)
    own = task.result(sharding.module(place), sharding.inputs(inputs, place), trains)
    found = sharding.found(own, place)
    require_finite(found)
    alone = if_it_fits(lambda: task.result(model, inputs, trains))
    if not all(team.gathered(alone is not None)):
        return None
    assert alone is not None, "it is there on every rank"
    where = f"rank {place.rank} of {place.ranks}, {case.extent_text}"
    expected = sharding.expected(alone, place)
    errors = team.gathered(compare_results(found, expected, case, task, where, "the result of one process"))
    return CheckResult(_largest(*(error for error, _ in errors)), _largest(*(gradient for _, gradient in errors)))


def _largest(*errors: float | None) -> float | None:
    return max((error for error in errors if error is not None), default=None)
