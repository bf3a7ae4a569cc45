"""Diffusion models go through everything that images do: run, plan, duel, compare, gate, profile, report, sampling."""

from pathlib import Path

import pandas as pd
import pytest

import vigbench
from vigbench.runner.duel import Effort
from vigbench.runner.max_batch import find_largest_batch
from vigbench.runner.run import plan_suite
from vigbench.suites.planner import Overrides
from vigbench.worker.measure_case import measure_case

pytestmark = pytest.mark.slow
SUBJECTS = ["dig_small_patch2", "dit_small_patch2"]
SIZES = [32, 64]


def overrides(**more: object) -> Overrides:
    limits = {"budget": 7200.0, "case_timeout": 1200.0, "threads": 1}
    return Overrides(subject=SUBJECTS, resolution=SIZES, **limits, **more)


@pytest.fixture(scope="module")
def runs(short_sampling: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("results")
    phases = ["inference", "training_step"]
    both = [vigbench.run(out=folder, device="cpu", overrides=overrides(phase=phases, calibrate=True)) for _ in range(2)]
    return both[0].folder, both[1].folder


@pytest.fixture(scope="module")
def frame(runs: tuple[Path, Path]) -> pd.DataFrame:
    return vigbench.load_results(runs[0])


def test_a_run_measures_latents(frame: pd.DataFrame) -> None:
    assert list(frame["status"].unique()) == ["ok"], list(frame["reason"])
    assert len(frame) == 8
    assert set(frame["unit"]) == {"latent"}
    assert (frame["throughput_per_s"] > 0).all()
    assert (frame["gmacs"] == frame["closed_form_gmacs"]).all()
    assert not frame["marks"].str.contains("flops_disputed").any()
    assert (frame["output_error"] < 1e-4).all()
    steps = frame[frame["phase"] == "training_step"]
    assert (steps[["forward_ms", "backward_ms", "optimizer_ms"]] > 0).all().all()
    assert (steps["gradient_error"] < 1e-4).all()


def test_two_runs_compare_and_gate(runs: tuple[Path, Path]) -> None:
    compared = vigbench.compare(*runs)
    assert len(compared) >= 8
    assert compared["ratio"].notna().all()
    assert not vigbench.gate(*runs).growth["grown"].any()


def test_its_report_says_latents(runs: tuple[Path, Path], tmp_path: Path) -> None:
    text = vigbench.write_report(runs[0], tmp_path).read_text(encoding="utf-8")
    assert "latents/s" in text
    assert "DiG-S/2" in text
    assert "images/s" not in text


def test_it_grows_over_its_side(frame: pd.DataFrame) -> None:
    laws = vigbench.fit_scaling(frame, "activation_memory_mib")  # which no other work changes
    assert set(laws["subject"]) == set(SUBJECTS)


def test_a_sample_is_measured_with_all_its_steps() -> None:
    once, sampled = (
        measure_case(
            vigbench.create_case("dit_small_patch2", resolution=32, device="cpu", threads=1, phase=phase),
            0.2,
            lambda stage: None,
        )
        for phase in ("inference", "sampling")
    )
    assert once.metrics is not None
    assert sampled.metrics is not None
    assert (once.status, sampled.status) == ("ok", "ok"), sampled.reason
    calls = "aten::scaled_dot_product_attention"
    assert sampled.operators[calls] == 50 * once.operators[calls], "run, and not multiplied"


def test_it_takes_turns_in_a_duel(tmp_path: Path) -> None:
    cases = [vigbench.create_case(name, resolution=32, device="cpu", threads=1) for name in SUBJECTS]
    found = vigbench.duel(*cases, effort=Effort(processes=2, blocks=3), out=tmp_path)
    assert found.ratio > 0


def test_it_is_profiled(tmp_path: Path) -> None:
    case = vigbench.create_case("dig_small_patch2", resolution=32, device="cpu", threads=1)
    profile = vigbench.profile_subject(case, iterations=2, out=tmp_path)
    assert {"x_embedder", "t_embedder", "final_layer"} <= {row.module for row in profile.record.modules}
    with pytest.raises(ValueError, match="phase inference or training"):
        vigbench.profile_subject(case.model_copy(update={"phase": "sampling"}), out=tmp_path)


def test_its_largest_batch_is_found() -> None:
    case = vigbench.create_case("dit_small_patch2", implementation="eager", resolution=512, device="cpu", threads=1)
    found = find_largest_batch(case, memory_limit_mib=400, timeout_s=120, on_stage=lambda stage: None)
    assert 1 <= found < 64, "each latent has scores of 25 MB"


def test_what_makes_no_sense_ends_before_anything_is_written(tmp_path: Path) -> None:
    for settings, said in (
        ({"resolution": [100]}, "100 px cannot be cut"),
        ({"resolution": [256, 264]}, "264 px cannot be cut"),
        ({"phase": ["sampling"], "subject": ["resnet50"]}, "has no phase sampling"),
        ({"subject": ["dig_small_patch2"], "implementation": ["triton_block"]}, "triton_block"),
    ):
        asked = {"subject": SUBJECTS, "resolution": SIZES, **settings}
        with pytest.raises(ValueError, match=said) as error:
            vigbench.run(out=tmp_path, device="cpu", overrides=Overrides(**asked))
        assert "\n" not in str(error.value)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["diffusion-scaling", "diffusion-sampling"])
def test_the_shipped_suites_measure_small_models_on_a_cpu_and_all_on_a_gpu(name: str) -> None:
    subjects = {
        device: {case.subject for case in plan_suite(name, device, Overrides()).cases} for device in ("cpu", "cuda")
    }
    assert subjects["cpu"] == set(SUBJECTS)
    assert subjects["cuda"] == {*SUBJECTS, "dig_xlarge_patch2", "dit_xlarge_patch2"}
