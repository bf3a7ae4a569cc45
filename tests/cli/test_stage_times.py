"""What is said at the end of a run about where its time went."""

from typing import Any

from vigbench.cli.stage_times import WORDS, time_spent
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, Status
from vigbench.records.stages import STAGES
from vigbench.suites.case import Case


def record(**seconds: Any) -> Record:
    case = Case(subject="resnet18", resolution=32)
    return Record(
        case_id=case.case_id,
        case=case,
        family="cnn",
        status=Status.ok,
        started_at="2026-01-01T10:00:00Z",
        metrics=Metrics(**seconds),
    )


def test_every_stage_but_timing_has_a_word() -> None:
    assert set(WORDS) | {"timing"} == set(STAGES)


def test_the_largest_comes_first_and_the_smallest_is_not_named() -> None:
    one = {"start_s": 0.1, "build_s": 6.0, "check_s": 20.0, "timing_s": 60.0, "end_s": 0.2}
    text = time_spent([record(**one), record(**{**one, "timing_s": 65.0, "device_s": 9.4})])
    assert text == (
        "Of 3 min 07 s in 2 cases, 2 min 05 s were timing; checking 40 s, building 12 s, opening the device 9 s."
    )


def test_a_case_that_was_not_timed_counts_and_one_that_was_pruned_does_not() -> None:
    assert time_spent([record(start_s=1.0, check_s=9.0, end_s=0.0), record()]) == (
        "Of 10 s in 1 case, 0 s were timing; checking 9 s, starting 1 s."
    )


def test_nothing_is_said_of_runs_that_know_no_times() -> None:
    assert time_spent([]) == ""
    assert time_spent([record(latency_ms=3.0)]) == ""
