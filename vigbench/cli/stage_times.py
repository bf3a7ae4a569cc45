"""How much of a run was timing, and where the rest went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vigbench.records.schema import Record

TIMING = "timing"
WORDS = {
    "start": "starting",
    "device": "opening the device",
    "build": "building",
    "cost": "counting",
    "check": "checking",
    "warm-up": "warming up",
    "memory": "memory",
    "path": "profiling",
    "end": "ending",
}
SMALLEST_S, SMALLEST_SHARE = 0.5, 0.01  # of the whole: less is not named


def time_spent(records: Sequence[Record]) -> str:
    """`Of 3 min 20 s in 16 cases, 2 min 05 s were timing; checking 40 s, building 12 s, ...`; empty without times."""
    from vigbench.records.stages import seconds_of
    from vigbench.suites.duration import format_duration

    measured = [record.metrics for record in records if record.metrics.end_s is not None]
    seconds = seconds_of(measured)
    whole_s = sum(seconds.values())
    if not seconds:
        return ""
    rest = sorted(((spent_s, WORDS[stage]) for stage, spent_s in seconds.items() if stage != TIMING), reverse=True)
    least_s = max(SMALLEST_S, SMALLEST_SHARE * whole_s)
    named = ", ".join(f"{word} {format_duration(spent_s)}" for spent_s, word in rest if spent_s >= least_s)
    front = f"Of {format_duration(whole_s)} in {len(measured)} case{'s' * (len(measured) != 1)}"
    return f"{front}, {format_duration(seconds.get(TIMING, 0.0))} were timing{'; ' * bool(named)}{named}."
