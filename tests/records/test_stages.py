"""Seconds by stage: they add up, whatever was reached."""

from vigbench.records.metrics import Metrics
from vigbench.records.stages import FIRST, LAST, STAGES, seconds_of, stage_columns


def test_every_stage_has_a_column_and_the_whole_names_each() -> None:
    whole = Metrics.model_fields["case_s"].description or ""
    for column in STAGES.values():
        assert column in Metrics.model_fields
        assert column in whole
    assert (next(iter(STAGES)), list(STAGES)[-1]) == (FIRST, LAST)


def test_processes_and_attempts_add_up_and_what_none_reached_stays_empty() -> None:
    seconds = seconds_of([Metrics(start_s=1.0, check_s=2.0), Metrics(start_s=0.5, end_s=0.25), Metrics()])
    assert seconds == {"start": 1.5, "check": 2.0, "end": 0.25}
    assert Metrics.model_validate(stage_columns(seconds)) == Metrics(start_s=1.5, check_s=2.0, end_s=0.25)


def test_of_the_whole_the_end_gets_what_no_stage_has() -> None:
    columns = stage_columns({"start": 1.0, "timing": 2.0, "end": 0.5}, 4.0)
    assert columns == {"start_s": 1.0, "timing_s": 2.0, "end_s": 1.0}
    assert stage_columns({}, 3.0) == {"end_s": 3.0}
