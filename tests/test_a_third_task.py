"""A task declared in a file of the tests (two inputs, named outputs, three sides) goes through everything."""

from pathlib import Path

import pytest

import vigbench
from tests.clips import SUBJECTS, ClipTask
from vigbench.runner.run import plan_suite
from vigbench.suites.planner import Overrides
from vigbench.worker.measure_case import measure_case

SIZES = ["4x16x24", "8x32x48"]


def overrides(**more: object) -> Overrides:
    limits = {"budget": 7200.0, "case_timeout": 1200.0, "threads": 1}
    return Overrides(subject=list(SUBJECTS), resolution=SIZES, **limits, **more)


@pytest.fixture(scope="module")
def runs(short_sampling: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("results")
    both = [
        vigbench.run(out=folder, device="cpu", overrides=overrides(phase=["inference", "training"], calibrate=True))
        for _ in range(2)
    ]
    return both[0].folder, both[1].folder


def test_a_plan_has_its_sizes_and_refuses_others() -> None:
    planned = plan_suite(None, "cpu", overrides())
    assert [(case.subject, case.resolution) for case in planned.cases] == [
        (subject, size) for size in SIZES for subject in SUBJECTS
    ]
    assert planned.cases[0].label() == "tests.clips:make_narrow 4x16x24px b1 float32 1 thread"
    with pytest.raises(ValueError, match="takes clips, frames x height x width: 16x24 has 2 sides, and 3 are needed"):
        plan_suite(None, "cpu", Overrides(subject=[SUBJECTS[0]], resolution=["16x24"]))
    with pytest.raises(ValueError, match="is measured on clips of a size: give it --resolution, and no other size"):
        plan_suite(None, "cpu", Overrides(subject=[SUBJECTS[0]], length=[16], shape=["1x4x8"]))


@pytest.mark.slow
def test_a_run_measures_it_in_its_own_unit(runs: tuple[Path, Path]) -> None:
    frame = vigbench.load_results(runs[0])
    assert list(frame["status"].unique()) == ["ok"], list(frame["reason"])
    assert len(frame) == 2 * len(SIZES) * len(SUBJECTS)
    assert set(frame["unit"]) == {"clip"}
    assert set(frame["resolution"]) == set(SIZES)
    assert (frame["throughput_per_s"] > 0).all()
    assert (frame["gmacs"] > 0).all(), "counted from both inputs"
    assert frame["inputs_mib"].tolist() == [
        4 * (int.__mul__(*map(int, size.split("x")[1:])) * int(size.split("x")[0]) + 1) / 2**20
        for size in frame["resolution"]
    ]
    assert (frame[frame["phase"] == "training"]["saved_for_backward_mib"] > 0).all()


@pytest.mark.slow
def test_two_runs_compare_and_gate(runs: tuple[Path, Path]) -> None:
    compared = vigbench.compare(*runs)
    assert len(compared) == 8
    assert set(compared["note"]) == {"calibrated"}
    assert compared["ratio"].notna().all()
    result = vigbench.gate(*runs)
    assert not result.growth["grown"].any()
    assert set(result.growth["resolution"]) == set(SIZES)


@pytest.mark.slow
def test_its_report_says_clips(runs: tuple[Path, Path], tmp_path: Path) -> None:
    text = vigbench.write_report(runs[0], tmp_path).read_text(encoding="utf-8")
    assert "clips/s" in text
    assert "8x32x48" in text
    assert "images/s" not in text


@pytest.mark.slow
def test_it_grows_over_its_mean_side(runs: tuple[Path, Path]) -> None:
    laws = vigbench.fit_scaling(vigbench.load_results(runs[0]), "activation_memory_mib")  # which no other work changes
    assert set(laws["aspect"]) == {"1:4:6"}
    assert (laws["points"] == 2).all()


@pytest.mark.slow
def test_it_is_profiled(tmp_path: Path) -> None:
    case = vigbench.create_case(SUBJECTS[0], resolution="4x16x24", device="cpu", threads=1)
    profile = vigbench.profile_subject(case, iterations=2, out=tmp_path)
    assert {"patches", "kind", "speed"} <= {row.module for row in profile.record.modules}
    assert "4x16x24" in profile.folder.name


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_a_training_step_uses_its_own_loss(compiled: bool) -> None:
    case = vigbench.create_case(
        SUBJECTS[0], resolution="4x16x24", device="cpu", threads=1, phase="training_step", compile=compiled
    )
    outcome = measure_case(case, 0.2, lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    assert outcome.operators["aten::abs"] > 0


def test_outputs_of_every_shape_are_named() -> None:
    import torch

    one, two = torch.zeros(2), torch.ones(2)
    task = ClipTask()
    assert list(task.outputs(one)) == ["output"]
    assert list(task.outputs({"a": one, "b": two})) == ["a", "b"]
    assert list(task.outputs((one, two))) == ["output 1", "output 2"]
    for odd in (3, {"a": 3}, [], None):
        with pytest.raises(ValueError, match="give its factory a task whose `outputs` finds them"):
            task.outputs(odd)
