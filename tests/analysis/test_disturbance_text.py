"""What is said of a busy machine, and what to do about it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

import vigbench
from tests.analysis.growing import frame, record
from vigbench.analysis.disturbance_text import MOST_FALLS, contention, disturbances


def rows(disturbed: int, count: int = 25, **more: Any) -> list[dict[str, Any]]:
    """Cases of which the first are disturbed."""
    return [
        {"status": "ok", "latency_ms": 1.0, "device": "cpu", "threads": 2, "marks": "contended" * (place < disturbed)}
        | more
        for place in range(count)
    ]


def of(latencies: Sequence[float], marks: str = "") -> pd.DataFrame:
    return frame(record("deit", 224 + 32 * place, one) for place, one in enumerate(latencies)).assign(
        marks=marks, peak_memory_mib=None
    )


def test_most_cases_disturbed_is_one_sentence_with_remedies() -> None:
    assert contention(rows(20)) == (
        "20 of 25 cases were disturbed by other processes, and no conclusion rests on their times: measure again with "
        "--threads 1 or at a quiet hour, or let two subjects take turns: vigbench duel A B --over 1h"
    )


def test_few_are_counted_and_none_is_not_mentioned() -> None:
    assert contention(rows(12)) == (
        "12 of 25 cases were disturbed by other processes, and no conclusion rests on their times."
    )
    assert contention(rows(1)).endswith("1 of 25 cases was disturbed by other processes, and no conclusion rests on "
                                        "its time.")  # fmt: skip
    assert contention(rows(0)) == ""
    assert contention([{**one, "status": "error", "latency_ms": None} for one in rows(20)]) == "", "nothing was timed"


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        ({"threads": 8}, 7),
        ({"threads": 8, "other_load": 0.5}, 4),
        ({"threads": 8, "other_load": 0.01}, 7),
        ({"threads": 8, "other_load": 1.0}, 1),
        ({"threads": 1}, None),
        ({"threads": 0}, None),
        ({"threads": 8, "device": "cuda"}, None),
    ],
)
def test_fewer_threads_are_what_the_others_leave(settings: dict[str, Any], threads: int | None) -> None:
    text = contention(rows(20, **settings))
    assert ("--threads" in text) == (threads is not None)
    assert threads is None or f"with --threads {threads} or " in text
    assert "quiet hour" in text
    assert "vigbench duel" in text


def test_each_place_where_a_curve_falls_is_named() -> None:
    found = vigbench.disturbances(of([5, 1651, 870, 2000]))
    assert found == ["deit took longer at 256 px (1,651 ms) than at 288 px (870 ms): one of the two was disturbed."]
    assert disturbances(of([1, 2, 3])) == []
    both = disturbances(of([5, 1651, 870, 2000], marks="contended"))
    assert both[0].startswith("4 of 4 cases were disturbed")
    assert both[1].endswith("than at 288 px (870 ms): both were disturbed.")


def test_many_falls_are_counted() -> None:
    found = disturbances(of([1000.0, 1.0] * 8))
    assert len(found) == MOST_FALLS + 1
    assert found[-1].endswith("more curves fall where they must rise.")


def test_a_frame_without_cases_has_nothing_to_say() -> None:
    assert disturbances(frame([])) == []
