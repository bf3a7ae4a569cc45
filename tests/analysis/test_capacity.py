"""The largest resolution that fits, where memory follows a known law."""

import numpy as np
import pandas as pd
import pytest

from tests.analysis.growing import LAWS, PX, frame, record, sweep
from vigbench.analysis.capacity import LIMIT_PX, STEP_PX, device_memory_mib, largest_resolution
from vigbench.analysis.curves import tokens_of


def test_the_largest_resolution_is_that_of_the_law() -> None:
    truth = {"vig": lambda n: 100 + 0.01 * n, "deit": lambda n: 100 + 0.01 * n + 2e-5 * n * n}
    found = largest_resolution(frame(sweep(truth)), 4096).set_index("subject")
    for name, law in truth.items():
        px = int(found["largest_px"][name])
        assert px % STEP_PX == 0
        assert law(tokens_of("resolution", px)) <= 4096 < law(tokens_of("resolution", px + STEP_PX))
        assert found["largest_low_px"][name] <= px <= found["largest_high_px"][name]
    assert list(found["memory_mib"]) == [4096] * 2
    assert list(found["largest_ok_px"]) == [1024] * 2


def test_what_was_measured_overrules_the_law() -> None:
    values = {224: 100.0, 384: 100.0, 512: 100.0, 768: 900.0, 1024: 950.0}
    rows = [record("step", px, value) for px, value in values.items()]
    rows.append(record("step", 2048, None, status="out_of_memory"))
    found = largest_resolution(frame(rows), 899).iloc[0]
    assert 512 <= found["largest_low_px"] <= found["largest_px"] <= found["largest_high_px"] < 768
    assert found["smallest_out_of_memory_px"] == 2048
    assert largest_resolution(frame(rows), 951).iloc[0]["largest_low_px"] >= 1024


def test_limits_of_what_can_be_said_of_memory() -> None:
    flat = largest_resolution(frame(sweep({"flat": lambda n: 100.0})), 4096).iloc[0]
    assert pd.isna(flat["largest_px"])
    assert str(LIMIT_PX) in flat["reason"]
    assert largest_resolution(frame(sweep({"flat": lambda n: 100.0})), 50).iloc[0]["largest_px"] == 0
    three = largest_resolution(frame(sweep({"deit": LAWS["deit"]}, PX[:3])), 4096).iloc[0]
    assert three["largest_px"] > 1024
    assert pd.isna(three["largest_low_px"])
    assert "a prediction needs 4" in three["reason"]
    operators = frame(sweep({"gla": LAWS["vig"]}, (196, 1024, 4096, 16384), operator=True))
    assert largest_resolution(operators, 4096).empty


def test_memory_comes_from_the_run_the_frame_or_the_caller() -> None:
    runs = pd.concat([frame(sweep(LAWS), run=name) for name in "ab"], ignore_index=True)
    found = largest_resolution(runs, {"a": 500.0, "b": 5000.0})
    assert list(found["memory_mib"]) == [500, 500, 5000, 5000]
    assert found["largest_px"][0] < found["largest_px"][2]
    known = largest_resolution(runs.assign(device_memory_mib=np.where(runs["run"] == "a", 500.0, 5000.0)))
    pd.testing.assert_frame_equal(known, found)
    with pytest.raises(ValueError, match="give memory_mib"):
        largest_resolution(runs)
    with pytest.raises(ValueError, match="run b is not given"):
        largest_resolution(runs, {"a": 500.0})
    for nonsense in (0, -3, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="makes no sense"):
            largest_resolution(runs, nonsense)


def test_a_device_s_memory_by_its_run() -> None:
    machine = {"memory_gib": {"total": 64, "available": 32.0}}
    assert device_memory_mib({"device": "cpu", "environment": {**machine, "gpu": None}}) == 32 * 1024
    assert device_memory_mib({"device": "cuda", "environment": {**machine, "gpu": {"memory_gib": 79.2}}}) == 79.2 * 1024
    assert device_memory_mib({"device": "cuda", "environment": machine}) is None
    assert device_memory_mib({}) is None
