"""Cases of whole scans: their settings, their size and the model's, how they are planned, and what they leave alone."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vigbench.suites.axes import AXES, SLIDING, Device, Gathering, Phase, Weighting
from vigbench.suites.case import Case
from vigbench.suites.custom import custom_suite
from vigbench.suites.planner import Overrides, plan
from vigbench.suites.schema import DeviceSection, Suite

GLIMS = {"subject": "glims", "resolution": "240x240x155"}
SLIDES = {**GLIMS, "phase": "sliding_window"}
OTHER = {"roi": 128, "overlap": 0.25, "weighting": "constant", "window_batch": 4, "gather": "host"}


def test_a_scan_has_settings_of_its_own_where_nothing_is_said() -> None:
    case = Case(**SLIDES)
    assert (case.roi, case.overlap, case.weighting) == (96, 0.5, Weighting.gaussian)
    assert (case.window_batch, case.gather) == (1, Gathering.device)
    said = Case(**SLIDES, roi=96, overlap=0.5, weighting="gaussian", window_batch=1, gather="device")
    assert said == case
    assert said.case_id == case.case_id
    assert Case.model_validate_json(case.model_dump_json()) == case
    assert Case(**GLIMS, phase=Phase.sliding_window) == case


@pytest.mark.parametrize("name", OTHER)
def test_each_of_them_is_part_of_the_id_and_of_the_line(name: str) -> None:
    plain, other = Case(**SLIDES), Case(**SLIDES, **{name: OTHER[name]})
    assert plain.case_id != other.case_id
    assert plain.label() != other.label()
    assert AXES[name].in_words(getattr(other, name))
    assert AXES[name].description == Case.model_fields[name].description


@pytest.mark.parametrize("phase", ["inference", "training", "training_step"])
def test_in_other_phases_they_mean_nothing(phase: str) -> None:
    plain = Case(**GLIMS, phase=phase)
    case = Case(**GLIMS, phase=phase, **OTHER)
    assert case == plain
    assert case.case_id == plain.case_id
    assert {getattr(case, name) for name in SLIDING} == {None}
    assert (case.windows, case.built_for) == (None, "240x240x155")
    assert not set(SLIDING) & set(json.loads(plain.model_dump_json(exclude_defaults=True)))


def test_what_a_frame_lacks_is_not_there() -> None:
    row = {**Case(**GLIMS).model_dump(), **dict.fromkeys([*SLIDING, "scan"], float("nan"))}
    assert Case.model_validate(row) == Case(**GLIMS)
    row = {**Case(**SLIDES).model_dump(), "window_batch": 1.0, "roi": "96", "scan": float("nan")}
    assert Case.model_validate(row) == Case(**SLIDES)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"subject": "vig_tiny_patch16_224", "resolution": 224}, "fee36de5c346"),
        ({"subject": "dit_small_patch2", "resolution": 256, "phase": "sampling"}, "d4e56fd5d9f3"),
        ({"subject": "gla", "length": 196, "heads": 3, "key_dim": 32, "value_dim": 64}, "11f578beb606"),
    ],
)
def test_a_case_of_every_other_kind_keeps_the_id_it_had_before(settings: dict[str, Any], expected: str) -> None:
    assert Case.model_validate(settings).case_id == expected


@pytest.mark.parametrize(
    ("settings", "windows"),
    [({}, 48), ({"overlap": 0.25}, 18), ({"overlap": 0.8}, 405), ({"roi": 128}, 18), ({"resolution": 64}, 1)],
)
def test_a_scan_has_as_many_windows(settings: dict[str, Any], windows: int) -> None:
    case = Case(**{**SLIDES, **settings})
    assert case.windows == windows
    assert case.passes == 1, "the multiply-adds of a scan are those of all its windows"
    assert case.built_for == case.roi
    assert Case(**{**SLIDES, **settings, "batch_size": 2}).windows == windows, "of one scan"
    alone = case.model_copy(update={**case.ALONE, "resolution": 64})
    assert (alone.built_for, alone.windows) == (64, None)


def test_passes_of_other_phases() -> None:
    passes = {
        phase: Case(**GLIMS, phase=phase).passes for phase in ("inference", "training", "training_step", "sampling")
    }
    assert passes == {"inference": 1, "training": 3, "training_step": 3, "sampling": 100}


@pytest.mark.parametrize("value", [1, -0.1, "half", True, math.nan])
def test_an_overlap_that_is_no_share_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="from 0 to below 1"):
        AXES["overlap"].read(value)
    assert AXES["overlap"].read("0.25") == 0.25


@pytest.fixture
def scan(tmp_path: Path) -> str:
    np.save(path := tmp_path / "scan.npy", np.zeros((4, 24, 40, 32), np.float32))
    return str(path)


def test_a_scan_goes_with_sliding_windows_only(scan: str) -> None:
    case = Case(subject="glims", phase="sliding_window", **AXES["scan"].settings(scan))
    assert (case.resolution, case.windows, case.scan) == ("24x40x32", 1, scan)
    assert case.case_id != Case(subject="glims", phase="sliding_window", resolution="24x40x32").case_id
    assert scan in case.label()
    with pytest.raises(ValueError, match="give --phase sliding_window beside --scan"):
        Case(subject="glims", **AXES["scan"].settings(scan))
    other = case.model_copy(update={"scan": "another.npy", "resolution": 96})
    assert case.series == other.series, "scans of several sizes are points of one curve"


def suite_with(**section: Any) -> Suite:
    settings = {"phase": ["inference", "sliding_window"], "roi": [64, 96], "overlap": [0.25, 0.5], "budget": 60}
    of_device = {**settings, "resolution": [96, 128], **section}
    return Suite(
        name="one", question="?", subjects=["glims"], devices={Device.cpu: DeviceSection.model_validate(of_device)}
    )


def cases(suite: Suite, **overrides: Any) -> list[Case]:
    return list(plan(suite, Device.cpu, lambda *_: ["sdpa"], Overrides(**overrides)).cases)


def test_windows_are_crossed_and_cases_without_them_are_there_once() -> None:
    found = cases(suite_with())
    assert len({case.case_id for case in found}) == len(found) == 2 * (1 + 2 * 2)
    windows = {(case.resolution, case.roi, case.overlap) for case in found if case.phase is Phase.sliding_window}
    assert windows == {(size, roi, overlap) for size in (96, 128) for roi in (64, 96) for overlap in (0.25, 0.5)}
    whole = [case for case in found if case.phase is Phase.inference]
    assert [(case.resolution, case.roi) for case in whole] == [(96, None), (128, None)]


def test_an_exclusion_may_name_windows() -> None:
    found = cases(suite_with(exclude=[{"roi": 64, "overlap": 0.5}]))
    assert {(case.roi, case.overlap) for case in found} == {(None, None), (64, 0.25), (96, 0.25), (96, 0.5)}


def test_a_suite_without_windows_has_the_usual_ones() -> None:
    (case,) = cases(suite_with(phase="sliding_window", roi=96, overlap=0.5, resolution="240x240x155"))
    assert case == Case(**SLIDES, implementation="sdpa")
    section = {"phase": "sliding_window", "resolution": "240x240x155", "budget": 60}
    suite = Suite(name="one", question="?", subjects=["glims"], devices={"cpu": section})
    assert cases(suite) == [case]
    assert Suite.model_validate(suite.model_dump(mode="json")) == suite


def test_scans_of_the_command_line_replace_a_suite_s_sizes(scan: str) -> None:
    found = cases(suite_with(phase="sliding_window", roi=32), scan=[scan])
    assert {(case.scan, case.resolution, case.roi) for case in found} == {(scan, "24x40x32", 32)}
    with pytest.raises(ValueError, match="give --phase sliding_window beside --scan"):
        cases(suite_with(), scan=[scan])
    with pytest.raises(ValueError, match="there is no file"):
        cases(suite_with(phase="sliding_window"), scan=[f"{scan}.npy"])


def test_a_suite_has_scans_or_sizes(scan: str) -> None:
    (case, *_) = cases(suite_with(resolution=None, scan=scan, phase="sliding_window"))
    assert case.resolution == "24x40x32"
    with pytest.raises(ValueError, match="a scan has its own size: give scan or resolution"):
        suite_with(scan=scan)


def test_subjects_without_a_suite_take_scans_too(scan: str) -> None:
    overrides = Overrides(subject=["glims"], scan=[scan], phase=["sliding_window"])
    (case,) = plan(custom_suite(overrides), Device.cpu, lambda *_: ["sdpa"], overrides).cases
    assert (case.scan, case.resolution, case.roi) == (scan, "24x40x32", 96)


def test_a_subject_of_a_scan_may_have_args(scan: str) -> None:
    cpu = {"phase": "sliding_window", "resolution": 96, "budget": 60}
    subject = {"name": "glims", "args": {"feature_size": 4}}
    suite = Suite.model_validate({"name": "one", "question": "?", "subjects": [subject], "devices": {"cpu": cpu}})
    (case,) = cases(suite, scan=[scan])
    assert (case.scan, case.args) == (scan, '{"feature_size": 4}')


def test_sizes_of_a_scan_and_of_others_do_not_go_together(scan: str) -> None:
    overrides = Overrides(subject=["glims"], scan=[scan], resolution=[96])
    with pytest.raises(ValueError, match=r"[Gg]ive") as error:
        custom_suite(overrides)
    assert "\n" not in str(error.value)
