import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vigbench.records.journal import read_journal
from vigbench.suites.case import Case
from vigbench.suites.shape import Shape, parse_entry, parse_shape

COMMITTED = sorted((Path(__file__).parents[2] / "results").glob("*/journal.jsonl"))
GLA = {"subject": "gla", "length": 196, "heads": 3, "key_dim": 32, "value_dim": 64}


@pytest.mark.parametrize("journal", COMMITTED, ids=lambda path: path.parent.name)
def test_the_ids_of_committed_cases_are_still_the_hash_of_their_content(journal: Path) -> None:
    as_written = [json.loads(line)["case_id"] for line in journal.read_text().splitlines()]
    assert as_written
    assert [record.case.case_id for record in read_journal(journal)] == as_written


def test_everything_about_an_operator_is_part_of_its_id() -> None:
    changes: list[dict[str, Any]] = [{}, {"length": 197}, {"heads": 4}, {"key_dim": 16}, {"value_dim": 32}]
    assert len({Case.model_validate({**GLA, **change}).case_id for change in changes}) == len(changes)


def test_a_series_goes_over_length_and_keeps_the_shape() -> None:
    case = Case.model_validate(GLA)
    longer, wider = (Case.model_validate({**GLA, **change}) for change in ({"length": 400}, {"heads": 6}))
    assert case.series == longer.series != wider.series
    assert (case.extent, case.extent_text, case.shape) == (196, "196 tokens", Shape(3, 32, 64))
    assert case.label() == "gla 3x32x64 196 tokens b1 float32"
    model = Case(subject="resnet50", resolution=64)
    assert (model.extent, model.extent_text, model.shape) == (64, "64 px", None)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"subject": "gla"}, "give a model a resolution, or an operator length"),
        ({**GLA, "resolution": 64}, "give a model a resolution"),
        ({**GLA, "heads": None}, "give a model a resolution"),
        ({"subject": "resnet50", "resolution": 64, "heads": 3}, "give a model a resolution"),
        ({**GLA, "length": 0}, "greater than or equal to 1"),
    ],
)
def test_a_case_is_of_one_kind(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Case.model_validate(settings)


def test_what_a_frame_lacks_is_not_there() -> None:
    row = {**Case.model_validate(GLA).model_dump(), "resolution": float("nan"), "length": 196.0}
    assert Case.model_validate(row) == Case.model_validate(GLA)


def test_shapes_as_people_write_them() -> None:
    assert parse_shape(" 3x32X64 ") == Shape(3, 32, 64)
    assert str(parse_shape("24x16x32")) == "24x16x32"


def test_an_entry_may_have_one_length_of_its_own() -> None:
    assert parse_entry("3x32x64") == (Shape(3, 32, 64), None)
    assert parse_entry("12X32x64 @4096") == (Shape(12, 32, 64), 4096)
    with pytest.raises(ValueError, match="'4k' is no length in tokens; write for example 12x32x64@4096"):
        parse_entry("3x32x64@4k")


@pytest.mark.parametrize("text", ["", "3x32", "3x32x64x1", "0x32x64", "3*32*64", "axbxc", "-3x32x64", "3x32x9999999"])
def test_another_shape_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 3x32x64"):
        parse_shape(text)
