"""A curve holds one subject, one implementation and one setting."""

from __future__ import annotations

from typing import Any

import pytest

from vigbench.records.schema import Status
from vigbench.report.curves import panels
from vigbench.report.metrics import ACTIVATIONS, GMACS, LATENCY, METRICS
from vigbench.report.rows import read_cases

SETTINGS: list[dict[str, Any]] = [
    {"precision": "float32"},
    {"precision": "bfloat16"},
    {"batch_size": 8},
    {"phase": "training"},
    {"compile": True},
    {"cuda_graph": True},
    {"tf32": True},
    {"channels_last": True},
    {"threads": 4},
    {"device": "cuda"},
]


def test_settings_never_share_a_curve(make_record: Any, make_frame: Any) -> None:
    # each setting has its own latency, so a mixed curve would show two of them
    records = [
        make_record("vig_tiny_patch16_224", "vig", px, latency=100.0 * (index + 1), **setting)
        for index, setting in enumerate(SETTINGS)
        for px in (224, 384)
    ]
    found = panels(read_cases(make_frame(records)), LATENCY)
    assert len(found) == len(SETTINGS)
    assert all(len({point.value for point in curve.points}) == 1 for panel in found for curve in panel.curves)
    assert len({panel.title for panel in found} | {panel.setting.device for panel in found}) >= len(SETTINGS)


def test_runs_never_share_a_curve(make_sweep: Any, make_frame: Any) -> None:
    rows = make_frame([*make_sweep(), *make_sweep()])
    rows["run"] = ["first"] * 35 + ["second"] * 35
    found = panels(read_cases(rows), LATENCY)
    assert [panel.setting.run for panel in found] == ["first", "second"]
    assert all(len(curve.points) <= 5 for panel in found for curve in panel.curves)


def test_sizes_of_other_proportions_never_share_a_curve(make_record: Any, make_frame: Any) -> None:
    records = [make_record("vig_tiny_patch16_224", "vig", size) for size in (224, "224x320", 448, "448x640")]
    checked = [one.metrics.model_copy(update={"gate_resolution": one.case.resolution}) for one in records]
    frame = make_frame(one.model_copy(update={"metrics": own}) for one, own in zip(records, checked, strict=True))
    found = panels(read_cases(frame), LATENCY)
    sizes = [[panel.setting.sweep.text(extent) for extent in panel.extents] for panel in found]
    assert sizes == [["224 px", "448 px"], ["224x320 px", "448x640 px"]]
    assert [panel.brief.partition(",")[0] for panel in found] == ["float32", "sides 7:10"]


def test_values_are_those_of_the_records_and_the_end_is_named(make_sweep: Any, make_frame: Any) -> None:
    (panel,) = panels(read_cases(make_frame(make_sweep())), LATENCY)
    found = {curve.label: curve for curve in panel.curves}
    area = (1024 / 224) ** 2
    vig = found["ViG-T"].at(1024)
    assert vig is not None
    assert vig.value == pytest.approx(14 * area)
    assert vig.interval == pytest.approx((14 * area * 0.99, 14 * area * 1.01))
    assert [point.extent for point in found["DeiT-T (eager)"].points] == [224, 384, 512, 768]
    assert found["DeiT-T (eager)"].end == (1024, "out_of_memory")
    assert found["DeiT-T (sdpa)"].end is None


def test_the_first_failure_ends_a_curve_and_an_earlier_gap_does_not(make_record: Any, make_frame: Any) -> None:
    statuses = {224: Status.ok, 384: Status.error, 512: Status.ok, 768: Status.timeout, 1024: Status.pruned}
    records = [make_record("resnet50", "cnn", px, status=status, reason="why") for px, status in statuses.items()]
    (panel,) = panels(read_cases(make_frame(records)), LATENCY)
    assert panel.curves[0].end == (768, "timeout")
    assert (384, "error") in panel.curves[0].failed


def test_a_failed_case_has_no_measured_point_even_if_a_value_is_there(make_record: Any, make_frame: Any) -> None:
    frame = make_frame([make_record("resnet50", "cnn", px) for px in (224, 384)])
    frame.loc[1, "status"] = "wrong_result"
    for metric in (LATENCY, ACTIVATIONS):
        (panel,) = panels(read_cases(frame), metric)
        assert panel.extents == (224,)


def test_a_count_is_drawn_once_for_all_implementations_and_settings(make_sweep: Any, make_frame: Any) -> None:
    cases = read_cases(make_frame([*make_sweep(), *make_sweep(precision="bfloat16")]))
    (panel,) = panels(cases, GMACS)
    assert [curve.label for curve in panel.curves].count("DeiT-T") == 1
    assert panel.title == "the same in every setting"


def test_counts_that_differ_stay_apart(make_record: Any, make_frame: Any) -> None:
    records = [make_record("m", "other", 224, gmacs=n, implementation=name) for n, name in ((1.0, "a"), (2.0, "b"))]
    (panel,) = panels(read_cases(make_frame(records)), GMACS)
    assert {curve.label: curve.points[0].value for curve in panel.curves} == {"m (a)": 1.0, "m (b)": 2.0}


def test_no_values_no_panels(make_record: Any, make_frame: Any) -> None:
    failed = make_record("resnet50", "cnn", 224, status=Status.error, gmacs=None)
    for metric in METRICS:
        assert panels(read_cases(make_frame([failed])), metric) == []
        assert panels(read_cases(make_frame([])), metric) == []
