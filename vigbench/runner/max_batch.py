"""The largest batch that fits in memory, by bisection in fresh processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vigbench.records.schema import Status
from vigbench.runner.process import run_in_worker
from vigbench.suites.case import Case
from vigbench.worker.messages import Errand, Job

EXACT_UP_TO = 64  # beyond it the answer is the largest batch to within 1 / EXACT_UP_TO
MOST_BATCH = 2**16


def largest_that_fits(fits: Callable[[int], bool], start: int = 1, most: int = MOST_BATCH) -> int:
    """The largest batch that fits, to within 1/64 of itself, or 0; `fits` is asked O(log batch) times.

    Args:
        fits: whether a batch fits; monotone.
        start: asked first, then larger or smaller ones.
        most: not asked beyond it.
    """
    low, high = (start, start) if fits(start) else (0, start)
    while low == high and high < most:  # doubling, until one does not fit
        high = min(most, 2 * low)
        if fits(high):
            low = high
    while high - low > max(1, low // EXACT_UP_TO):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def find_largest_batch(
    case: Case, *, memory_limit_mib: float | None, timeout_s: float, on_stage: Callable[[str], None]
) -> int:
    """The largest batch with which a case runs; 0 if there is none.

    Args:
        case: its batch size is where the search starts.
        memory_limit_mib: MiB that the worker may allocate; None: what the device has.
        timeout_s: seconds for one attempt; a batch that takes longer does not fit either.
        on_stage: told which batch is tried.
    """

    def fits(batch: int) -> bool:
        on_stage(f"batch {batch}?")
        larger = case.model_copy(update={"batch_size": batch})
        job = Job(case=larger, errand=Errand.fit, memory_limit_mib=memory_limit_mib)
        return run_in_worker(job, timeout_s=timeout_s, on_stage=lambda _: None).status is Status.ok

    return largest_that_fits(fits, case.batch_size)


@dataclass
class BatchLimits:
    """The largest batch of each case of a run; cases that differ in nothing but the batch share one answer.

    Attributes:
        memory_limit_mib: MiB that a worker may allocate; None: what the device has.
        timeout_s: seconds for one attempt.
    """

    memory_limit_mib: float | None
    timeout_s: float
    _found: dict[Case, int] = field(default_factory=dict)

    def of(self, case: Case, on_stage: Callable[[str], None]) -> int:
        """The largest batch that fits (and ends in time); the case itself is known to fit without the limit."""
        key = case.model_copy(update={"batch_size": 1})
        if key not in self._found:
            self._found[key] = find_largest_batch(
                case, memory_limit_mib=self.memory_limit_mib, timeout_s=self.timeout_s, on_stage=on_stage
            )
        return self._found[key]
