"""Volumes of a whole scan: covered window by window as MONAI does, progress, and scans of files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import vigbench
from vigbench.models.volumes import networks
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects import pass_progress
from vigbench.subjects.volume import VolumeTask
from vigbench.suites.case import Case
from vigbench.suites.windows import windows_of

TASK = VolumeTask()
OF_SCANS = "1.6"  # of MONAI


def case_of(**settings: Any) -> Case:
    usual = {"subject": "glims", "phase": "sliding_window", "resolution": "40x32x70", "roi": 32}
    return Case(**{**usual, **settings})


def uneven(windows: Tensor) -> Tensor:
    """Logits that depend on where in its window a voxel lies, so that weights matter."""
    places = torch.linspace(0, 1, windows.shape[-1])
    return (windows[:, :3] * (1 + places)).tanh() + windows.mean((1, 2, 3, 4), keepdim=True)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weighting": "constant", "overlap": 0.25},
        {"roi": "32x32x64", "window_batch": 3, "batch_size": 2},
        {"resolution": "20x40x24", "gather": "host"},
    ],
)
def test_a_scan_is_covered_as_monai_does(settings: dict[str, Any]) -> None:
    pytest.importorskip("monai", minversion=OF_SCANS)
    inferers = pytest.importorskip("monai.inferers")
    case, seen = case_of(**settings), []
    inputs = TASK.make_inputs(case)

    def model(windows: Tensor) -> Tensor:
        seen.append(tuple(windows.shape))
        return uneven(windows)

    found = TASK.outputs(TASK.iterate(model, inputs, case))["output"]
    roi = (32, 32, 64) if case.roi == "32x32x64" else (32, 32, 32)
    expected = inferers.sliding_window_inference(
        inputs["scan"], roi, case.window_batch, uneven, case.overlap, str(case.weighting)
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found.shape[2:] == inputs["scan"].shape[2:]
    assert sum(shape[0] for shape in seen) == case.windows * case.batch_size  # type: ignore[operator]
    assert {shape[2:] for shape in seen} == {roi}
    assert max(shape[0] for shape in seen) == case.window_batch


@pytest.mark.parametrize("settings", [{}, {"weighting": "constant", "overlap": 0}, {"resolution": "20x40x24"}])
def test_what_comes_back_as_it_was_makes_the_same_scan(settings: dict[str, Any]) -> None:
    pytest.importorskip("monai", minversion=OF_SCANS)
    case = case_of(**settings)
    inputs = TASK.make_inputs(case)
    found = TASK.iterate(lambda windows: windows, inputs, case)
    torch.testing.assert_close(found, inputs["scan"], rtol=1e-5, atol=1e-5)


def test_an_older_monai_covers_no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "version", lambda name: "1.5.2")
    with pytest.raises(UnsupportedError, match=r"monai 1\.5\.2 is installed, .* cut wrongly .*'monai>=1\.6'"):
        TASK.make_inputs(case_of())


@given(st.data())
def test_windows_are_as_many_as_monai_s(data: st.DataObject) -> None:
    utils = pytest.importorskip("monai.data.utils")
    inferers = pytest.importorskip("monai.inferers.utils")
    scan, roi = (data.draw(st.tuples(*[st.integers(1, most)] * 3)) for most in (300, 128))
    overlap = data.draw(st.floats(0, 0.95) | st.sampled_from([0.25, 0.5, 0.8]))
    padded = [max(side, window) for side, window in zip(scan, roi, strict=True)]
    apart = inferers._get_scan_interval(padded, roi, 3, (overlap,) * 3)
    assume(windows_of(scan, roi, overlap) < 20_000)
    assert windows_of(scan, roi, overlap) == len(utils.dense_patch_slices(padded, roi, apart))


@pytest.mark.parametrize(
    ("roi", "overlap", "count"), [(96, 0.25, 18), (96, 0.5, 48), (96, 0.8, 405), (128, 0.5, 18), (128, 0.8, 108)]
)
def test_windows_of_a_brain(roi: int, overlap: float, count: int) -> None:
    assert windows_of((240, 240, 155), (roi,) * 3, overlap) == count


def test_progress_is_told_to_whoever_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("monai", minversion=OF_SCANS)
    case, told = case_of(), []
    inputs = TASK.make_inputs(case)
    TASK.iterate(uneven, inputs, case)
    pass_progress.listen(told.append)
    try:
        TASK.iterate(uneven, inputs, case)
        assert told == [], "at most once a second"
        monkeypatch.setattr(pass_progress, "EVERY_S", 0.0)
        TASK.iterate(uneven, inputs, case)
    finally:
        pass_progress.listen(None)
    assert told == [f"{done} of {case.windows} windows" for done in range(1, case.windows or 0)]
    TASK.iterate(uneven, inputs, case)
    assert len(told) == (case.windows or 0) - 1


@pytest.mark.parametrize("channels", [None, 1, 4])
def test_a_scan_of_a_file_is_what_is_covered(channels: int | None, tmp_path: Path) -> None:
    pytest.importorskip("monai", minversion=OF_SCANS)
    shape = (20, 36, 40) if channels is None else (channels, 20, 36, 40)
    values = np.random.default_rng(0).gamma(2, 300, shape).astype(np.float32)
    np.save(path := tmp_path / "scan.npy", values)
    inputs = TASK.make_inputs(case_of(resolution="20x36x40", scan=str(path), batch_size=2))
    assert inputs["scan"].shape == (2, 4, 20, 36, 40)
    assert inputs["volume"].shape == (2, 4, 32, 32, 32)
    whole = torch.from_numpy(values).view(-1, 20, 36, 40).double()
    normed = (whole - whole.mean((1, 2, 3), keepdim=True)) / whole.std((1, 2, 3), keepdim=True, correction=0)
    for item in inputs["scan"]:
        torch.testing.assert_close(item, normed.expand(4, -1, -1, -1).float(), rtol=1e-3, atol=1e-4)


def test_a_case_of_a_scan_is_made_in_python(tmp_path: Path) -> None:
    pytest.importorskip("monai", minversion=OF_SCANS)
    np.save(path := tmp_path / "scan.npy", np.ones((4, 24, 40, 32), np.float32))
    settings = {"phase": "sliding_window", "roi": 32, "device": "cpu", "args": {"feature_size": 4}}
    case = vigbench.create_case("glims", scan=path, **settings)
    assert (case.scan, case.resolution, case.roi) == (str(path), "24x40x32", 32)
    with pytest.raises(ValueError, match="Give models --resolution"):
        vigbench.create_case("glims", scan=path, resolution=96, **settings)


def test_a_scan_of_other_channels_is_refused_with_advice(tmp_path: Path) -> None:
    pytest.importorskip("monai", minversion=OF_SCANS)
    np.save(path := tmp_path / "scan.npy", np.ones((2, 8, 8, 8), np.float32))
    case = case_of(resolution=8, scan=str(path))
    with pytest.raises(ValueError, match=r"has 2 channels, and glims takes 4: .* args: \{in_chans: 2\}") as error:
        TASK.make_inputs(case)
    assert "\n" not in str(error.value)
    taken = TASK.make_inputs(case.model_copy(update={"args": '{"in_chans":2}'}))
    assert taken["scan"].shape == (1, 2, 8, 8, 8)
