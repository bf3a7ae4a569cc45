"""Networks for volumes through everything that images do, and whole scans window by window."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import vigbench
from vigbench.runner.run import plan_suite
from vigbench.suites.planner import Overrides

pytestmark = pytest.mark.slow
LIMITS = {"budget": 3600.0, "case_timeout": 1200.0, "threads": 1}
SUITE = """
name: windows
question: What does a scan cost in windows?
subjects:
  - name: glims
  - name: swin_unetr
    args: {feature_size: 12}
devices:
  cpu:
    resolution: [32x32x64, 32x32x96]
    phase: [inference, training_step, sliding_window]
    roi: 32x32x64
    window_batch: 2
    exclude:
      - {resolution: 32x32x96, phase: [inference, training_step]}
    budget: 1h
"""


@pytest.fixture(scope="module")
def folder(short_sampling: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("monai", minversion="1.6")
    (suite := tmp_path_factory.mktemp("suite") / "windows.yaml").write_text(SUITE)
    out = tmp_path_factory.mktemp("results")
    return vigbench.run(suite, out=out, device="cpu", overrides=Overrides(**LIMITS)).folder


@pytest.fixture(scope="module")
def frame(folder: Path) -> pd.DataFrame:
    return vigbench.load_results(folder)


def test_a_run_measures_volumes(frame: pd.DataFrame) -> None:
    assert list(frame["status"].unique()) == ["ok"], list(frame["reason"])
    assert len(frame) == 2 * 4
    assert set(frame["unit"]) == {"volume"}
    whole = frame[frame["args"] == ""]  # of others there is no closed form
    assert (whole["gmacs"] == whole["closed_form_gmacs"]).all()
    assert not frame["marks"].str.contains("flops_disputed|unverified").any()
    assert (frame["output_error"] < 1e-3).all()
    sides = frame["resolution"].str.split("x", expand=True).astype(int)
    assert frame["voxels_per_s"].to_numpy() == pytest.approx(
        (sides.prod(axis=1) * frame["throughput_per_s"]).to_numpy()
    )
    assert frame["sdpa_backend"].str.len().gt(0).all(), "which code attends in windows with a bias"


def test_a_scan_is_counted_in_windows_of_its_roi(frame: pd.DataFrame) -> None:
    scans, others = frame[frame["phase"] == "sliding_window"], frame[frame["phase"] != "sliding_window"]
    assert dict(zip(scans["resolution"], scans["windows"], strict=False)) == {"32x32x64": 1, "32x32x96": 2}
    assert set(scans["roi"]) == {"32x32x64"}
    assert set(scans["overlap"]) == {0.5}
    assert others[["windows", "roi", "overlap", "gather"]].isna().all().all()
    for subject, of_subject in scans.groupby("subject"):
        (window,) = others[(others["subject"] == subject) & (others["phase"] == "inference")]["gmacs"]
        assert of_subject["gmacs"].to_numpy() == pytest.approx(window * of_subject["windows"].to_numpy()), "of all"


def test_a_step_of_training_has_four_logits_to_compare(frame: pd.DataFrame) -> None:
    steps = frame[frame["phase"] == "training_step"]
    assert (steps[["forward_ms", "backward_ms", "optimizer_ms", "gradient_error"]] > 0).all().all()
    assert (steps["gradient_error"] < 1e-2).all()
    assert not (frame[frame["phase"] == "inference"]["gradient_error"] > 0).any()


def test_its_report_says_volumes(folder: Path, tmp_path: Path) -> None:
    text = vigbench.write_report(folder, tmp_path).read_text(encoding="utf-8")
    for said in ("volumes/s", "glims", "swin", "voxels"):
        assert said in text.lower()
    assert "images/s" not in text


def test_a_scan_of_a_file_is_measured(short_sampling: None, tmp_path: Path) -> None:
    pytest.importorskip("monai", minversion="1.6")
    np.save(scan := tmp_path / "scan.npy", np.random.default_rng(0).normal(size=(4, 24, 40, 32)).astype(np.float32))
    asked = {"subject": ["glims"], "scan": [str(scan)], "phase": ["sliding_window"], "roi": [32]}
    found = vigbench.run(out=tmp_path / "results", device="cpu", overrides=Overrides(**asked, **LIMITS))
    (record,) = vigbench.load_results(found.folder).to_dict("records")
    assert (record["status"], record["windows"], record["resolution"]) == ("ok", 2, "24x40x32"), record["reason"]
    assert record["scan"] == str(scan)


def test_it_is_profiled(tmp_path: Path) -> None:
    pytest.importorskip("monai", minversion="1.6")
    case = vigbench.create_case("glims", resolution=32, device="cpu", threads=1)
    profile = vigbench.profile_subject(case, iterations=2, out=tmp_path)
    assert {"stem", "dmsf_1", "t4", "csab5"} <= {row.module.partition(".")[0] for row in profile.record.modules}


def test_what_makes_no_sense_ends_before_anything_is_written(tmp_path: Path) -> None:
    pytest.importorskip("monai", minversion="1.6")
    for settings, said in (
        ({"resolution": ["96x64"]}, "takes volumes, depth x height x width: 96x64 has 2 sides"),
        ({"phase": ["sampling"]}, "has no phase sampling"),
        ({"phase": ["sliding_window"], "subject": ["resnet50"]}, "has no phase sliding_window"),
        ({"phase": ["sliding_window"], "roi": ["96x64"]}, "96x64"),
    ):
        asked = {"subject": ["glims"], "resolution": [96], **settings}
        with pytest.raises(ValueError, match=said) as error:
            vigbench.run(out=tmp_path, device="cpu", overrides=Overrides(**asked))
        assert "\n" not in str(error.value)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["volumes", "volume-scan"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_shipped_suites_plan_both_networks(name: str, device: str) -> None:
    pytest.importorskip("monai", minversion="1.6")
    cases = plan_suite(name, device, Overrides()).cases
    assert {"glims", "swin_unetr"} <= {case.subject for case in cases}
    assert {case.phase == "sliding_window" for case in cases} == {name == "volume-scan"}
    assert all(case.windows for case in cases if name == "volume-scan")
