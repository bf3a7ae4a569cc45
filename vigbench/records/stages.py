"""Where a case's seconds go: its stages in the order in which they run, each with its column of the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vigbench.records.metrics import COLUMNS, Metrics

STAGES = {column.stage: name for name, column in COLUMNS.items() if column.stage}
FIRST, *_, LAST = STAGES  # these two a worker cannot tell: before it can speak, and after its outcome


def seconds_of(several: Iterable[Metrics]) -> dict[str, float]:
    """Seconds by stage of several cases, processes or attempts together; what none of them reached is left out."""
    total: dict[str, float] = {}
    for metrics in several:
        for stage, column in STAGES.items():
            if (seconds := getattr(metrics, column)) is not None:
                total[stage] = total.get(stage, 0.0) + seconds
    return total


def stage_columns(seconds: Mapping[str, float], whole_s: float | None = None) -> dict[str, float]:
    """Seconds by stage as columns of a record; of `whole_s`, all seconds together, the end gets what is left.

    A stage that no record has, such as one of a profile, is passed over.
    """
    if whole_s is not None:
        before = sum(spent_s for stage, spent_s in seconds.items() if stage != LAST)
        seconds = {**seconds, LAST: max(0.0, whole_s - before)}
    return {STAGES[stage]: spent_s for stage, spent_s in seconds.items() if stage in STAGES}
