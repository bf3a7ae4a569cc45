"""One case in one or several fresh processes, and the one result that they make together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vigbench.records.schema import Metrics, Status
from vigbench.runner.executor import run_in_worker
from vigbench.runner.messages import Job, Outcome
from vigbench.suites.case import Case
from vigbench.suites.planner import Plan

LARGEST_OF_ALL = ("peak_memory_mib", "activation_memory_mib", "reserved_memory_mib", "process_peak_memory_mib")
SUM_OF_ALL = ("samples", "outliers", "effective_samples", "warmup_iterations", "build_s", "compile_s")


@dataclass(frozen=True)
class Measured:
    """What a case came to.

    Attributes:
        samples: for each process, quantity -> raw values in the order taken.
    """

    status: Status
    reason: str = ""
    operator: str | None = None
    marks: tuple[str, ...] = ()
    metrics: Metrics = field(default_factory=Metrics)
    samples: tuple[Mapping[str, Sequence[float]], ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)
    kernels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def failed(cls, status: Status, reason: str) -> Measured:
        """A result without numbers."""
        return cls(status, reason)

    def disturbance(self) -> float:
        """How much other processes were felt; of two results the one with less is kept, whatever their latencies."""
        if self.status is not Status.ok:
            return math.inf
        found = (self.metrics.rate_drop, self.metrics.other_load, self.metrics.other_load_after)
        return max((one for one in found if one is not None), default=0.0)


def measure_in_processes(case: Case, planned: Plan, *, sampling_s: float, on_stage: Callable[[str], None]) -> Measured:
    """Measure a case as often as the plan says, each time in a fresh process; the first failure is the result.

    Args:
        case: what to measure.
        planned: processes, calibration and timeout.
        sampling_s: seconds of warm-up and sampling in each process.
        on_stage: told what happens now.
    """
    job = Job(case=case, budget_s=sampling_s, calibrate=planned.calibrate)
    outcomes: list[Outcome] = []
    for number in range(1, planned.processes + 1):
        where = f" ({number}/{planned.processes})" if planned.processes > 1 else ""

        def tell(stage: str, where: str = where) -> None:
            on_stage(stage + where)

        outcome = run_in_worker(job, timeout_s=planned.case_timeout_s, on_stage=tell)
        if outcome.status is not Status.ok:
            return _of([outcome], reason=f"{outcome.reason} (process {number} of {planned.processes})" if where else "")
        outcomes.append(outcome)
    return _of(outcomes)


def _of(outcomes: Sequence[Outcome], reason: str = "") -> Measured:
    first = outcomes[0]
    return Measured(
        status=first.status,
        reason=reason or first.reason,
        operator=first.operator,
        marks=tuple(dict.fromkeys(mark for outcome in outcomes for mark in outcome.marks)),
        metrics=_merge([outcome.metrics for outcome in outcomes]),
        samples=tuple(outcome.samples for outcome in outcomes),
        operators=first.operators,
        kernels=first.kernels,
    )


def _merge(several: Sequence[Metrics]) -> Metrics:
    return several[0]
