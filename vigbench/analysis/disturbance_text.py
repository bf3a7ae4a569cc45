"""What a run's numbers cannot be trusted for, in sentences that say what to do."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import pandas as pd

from vigbench.analysis.disturbance import Row, find_falls, has_value, is_contended, names_of
from vigbench.suites.axes import Device

MOST_FALLS = 5  # sentences; more are counted


def disturbances(frame: pd.DataFrame) -> list[str]:
    """Say what keeps a run's numbers from carrying conclusions, and what to do; empty where nothing does.

    Args:
        frame: of `load_results`.

    Returns:
        How many cases other processes disturbed, with remedies where those are most of them; then one sentence for
        each place where a curve falls although it must rise with the size.
    """
    rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    return [*filter(None, [contention(rows)]), *falls_in_words(rows)]


def contention(rows: Sequence[Row]) -> str:
    """How many of the timed cases were disturbed; with remedies where most were; empty where none was."""
    timed = [row for row in rows if has_value(row, "latency_ms")]
    disturbed = [row for row in timed if is_contended(row)]
    if not disturbed:
        return ""
    front = f"{count_in_words(rows)}, and no conclusion rests on {'its time' if len(disturbed) == 1 else 'their times'}"
    if not is_mostly_contended(rows):
        return f"{front}."
    return (
        f"{front}: measure again {_fewer_threads(disturbed)}at a quiet hour, "
        "or let two subjects take turns: vigbench duel A B --over 1h"
    )


def count_in_words(rows: Sequence[Row]) -> str:
    """`20 of 25 cases were disturbed by other processes`: of those that were timed."""
    timed = [row for row in rows if has_value(row, "latency_ms")]
    count = sum(map(is_contended, timed))
    verb = "was" if count == 1 else "were"
    return f"{count:,} of {len(timed):,} case{'s' * (len(timed) > 1)} {verb} disturbed by other processes"


def is_mostly_contended(rows: Sequence[Row]) -> bool:
    """Whether other processes disturbed more than half of the timed cases."""
    timed = [is_contended(row) for row in rows if has_value(row, "latency_ms")]
    return 2 * sum(timed) > len(timed)


def falls_in_words(rows: Sequence[Row]) -> list[str]:
    """A sentence for each of the first falls, and how many more there are."""
    falls = find_falls(rows)
    names = {id(row): name for row, name in zip(rows, names_of(rows), strict=True)}
    said = [fall.sentence(names[id(fall.smaller)]) for fall in falls[:MOST_FALLS]]
    more = len(falls) - len(said)
    return [*said, *([f"{more} more curves fall where they must rise."] if more else [])]


def _fewer_threads(rows: Sequence[Row]) -> str:
    """`with --threads 1 or `: what the others' load leaves, at least one less; empty where threads do not matter."""
    known = [int(row["threads"]) for row in rows if row.get("device") == Device.cpu and pd.notna(row.get("threads"))]
    most = max(known, default=0)
    if most < 2:
        return ""
    loads = [load for row in rows if isinstance(load := row.get("other_load"), float) and 0 <= load <= 1]
    free = int(most * (1 - median(loads))) if loads else most
    return f"with --threads {max(1, min(most - 1, free))} or "
