"""Threats to validity: what is said holds of this run, and nothing else is said."""

from __future__ import annotations

from typing import Any

import pytest

from vigbench.records.metrics import Metrics
from vigbench.records.schema import Status
from vigbench.report.findings import find
from vigbench.report.sentences.threats import MARKS, threats

INFO = {"run": "r", "device_name": "Demo CPU"}


def said(frame: Any, *infos: Any) -> dict[str, tuple[str, str]]:
    return {one.name: (one.meaning, one.cases) for one in threats(find(frame, list(infos) or [INFO]))}


@pytest.mark.parametrize("mark", MARKS)
def test_each_mark_that_occurs_is_counted_with_its_first_cases(mark: str, make_record: Any, make_frame: Any) -> None:
    records = [make_record("resnet50", "cnn", 32 * i, marks=(mark,) if i > 2 else ()) for i in range(1, 10)]
    found = said(make_frame(records))
    (name,) = [name for name in found if name.endswith("cases")]
    assert name == f"{mark.replace('_', ' ').capitalize()}: 7 of 9 cases"
    assert found[name][1] == (
        "ResNet-50 at 96 px, ResNet-50 at 128 px, ResNet-50 at 160 px, ResNet-50 at 192 px and 3 more"
    )


def test_marks_of_measurement_are_all_explained() -> None:
    from pathlib import Path

    text = (Path(__file__).parents[3] / "docs" / "measurement.md").read_text("utf-8")
    assert [mark for mark in MARKS if f"`{mark}`" not in text] == []


def test_an_unknown_mark_is_named_all_the_same(make_record: Any, make_frame: Any) -> None:
    assert "New mark: 1 of 1 case" in said(make_frame([make_record("resnet50", "cnn", 224, marks=("new_mark",))]))


def test_a_clean_run_has_no_mark_and_no_missing_case(make_sweep: Any, make_frame: Any) -> None:
    design = ["One run on one machine", "One process a case", "Minutes apart", "A CPU, not a GPU", "Random inputs"]
    assert list(said(make_frame(make_sweep((224,))))) == design


def test_what_is_missing_leaves_survivors(make_record: Any, make_frame: Any) -> None:
    lost = (Status.out_of_memory, Status.timeout, Status.pruned)
    records = [make_record("resnet50", "cnn", 224)]
    records += [make_record("resnet50", "cnn", 256 + 32 * i, status=status) for i, status in enumerate(lost)]
    found = said(make_frame(records))
    for i, name in enumerate(("Out of memory", "Timeout", "Pruned")):
        meaning, cases = found[f"{name}: survivors are compared"]
        assert meaning.startswith("1 of 4 cases")
        assert cases == f"ResNet-50 at {256 + 32 * i} px"


def test_several_processes_a_gpu_and_several_runs_say_otherwise(make_record: Any, make_frame: Any) -> None:
    frame = make_frame([make_record("resnet50", "cnn", 224, device="cuda")])
    names = said(
        frame, {"run": "a", "device_name": "G", "processes": 3}, {"run": "b", "device_name": "G", "processes": 3}
    )
    assert set(names) == {"Several runs, one device", "Minutes apart", "Random inputs"}
    assert "Several devices" in said(frame, {"run": "a", "device_name": "G"}, {"run": "b", "device_name": "H"})
    assert "1% (cuda)" in said(frame)["One process a case"][0]


@pytest.mark.parametrize(("load", "noticed"), [(0.0, False), (0.015, False), (0.3, True)])
def test_load_of_others_is_said_where_there_was_some(
    load: float, noticed: bool, make_record: Any, make_frame: Any
) -> None:
    record = make_record("resnet50", "cnn", 224)
    record = record.model_copy(update={"metrics": Metrics(**{**record.metrics.model_dump(), "other_load": load})})
    found = said(make_frame([record]))
    assert ("A shared machine" in found) is noticed
    assert not noticed or "30%" in found["A shared machine"][0]
