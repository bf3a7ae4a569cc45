"""Where a case's seconds go: its stages in the order in which they run, each with its column of the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vigbench.records.schema import Metrics

STAGES = {
    "start": "start_s",
    "device": "device_s",
    "build": "build_s",
    "cost": "cost_s",
    "check": "check_s",
    "warm-up": "warmup_s",
    "memory": "memory_s",
    "timing": "timing_s",
    "path": "path_s",
    "end": "end_s",
}
FIRST, LAST = "start", "end"  # these two a worker cannot tell: before it can speak, and after its outcome


def seconds_of(several: Iterable[Metrics]) -> dict[str, float]:
    """Seconds by stage of several cases, processes or attempts together; what none of them reached is left out."""
    total: dict[str, float] = {}
    for metrics in several:
        for stage, column in STAGES.items():
            if (seconds := getattr(metrics, column)) is not None:
                total[stage] = total.get(stage, 0.0) + seconds
    return total


def stage_columns(seconds: Mapping[str, float], whole_s: float | None = None) -> dict[str, float]:
    """Seconds by stage as columns of a record; of `whole_s`, all seconds together, the end gets what is left."""
    if whole_s is not None:
        before = sum(one for stage, one in seconds.items() if stage != LAST)
        seconds = {**seconds, LAST: max(0.0, whole_s - before)}
    return {STAGES[stage]: one for stage, one in seconds.items()}
