"""The suite of the operator from its file to records, report and comparison, with tiny shapes."""

from pathlib import Path

import pandas as pd
import pytest

import vigbench
from vigbench.records.fingerprint import fingerprint
from vigbench.report import write_page
from vigbench.runner.run import plan_suite, resume_plan, start_run
from vigbench.suites.planner import Overrides

TINY = Overrides(length=[16, 32], shape=["1x4x8"], budget=7200.0, case_timeout=1200.0, threads=1)
CASES = 5 * 2 * 2  # by length and phase


@pytest.fixture(scope="module")
def run(short_sampling: None, tmp_path_factory: pytest.TempPathFactory) -> vigbench.Run:
    return vigbench.run("kernels-gla", out=tmp_path_factory.mktemp("results"), device="cpu", overrides=TINY)


@pytest.fixture(scope="module")
def frame(run: vigbench.Run) -> pd.DataFrame:
    return vigbench.load_results(run.folder)


@pytest.mark.slow
def test_every_case_is_measured_checked_and_has_its_columns(frame: pd.DataFrame) -> None:
    assert list(frame["status"].unique()) == ["ok"], list(frame["reason"])
    assert set(zip(frame["subject"], frame["implementation"], strict=True)) == {
        ("gla", "reference"),
        ("gla", "torch_chunk"),
        ("gla_from_logits", "torch_chunk"),
        ("gla_one_direction", "torch_chunk"),
        ("attention", "sdpa"),
    }
    assert len(frame) == CASES
    assert frame["resolution"].isna().all()
    for column in ("achieved_gb_per_s", "achieved_tflop_per_s", "bandwidth_share", "compute_share"):
        assert (frame[column] > 0).all(), column
    assert (frame["extra_memory_share"] >= 0).all()
    assert (frame["gate_length"] == frame["length"]).all()
    training = frame["phase"] == "training"
    assert frame.loc[training, "gradient_error"].notna().all()
    assert frame.loc[~training, "gradient_error"].isna().all()


@pytest.mark.slow
def test_shares_are_of_the_ceilings_in_the_environment(run: vigbench.Run, frame: pd.DataFrame) -> None:
    (ceiling,) = run.store.info()["environment"]["ceilings"].values()
    expected = frame["achieved_gb_per_s"] / ceiling["copy_gb_per_s"]
    pd.testing.assert_series_equal(frame["bandwidth_share"], expected, check_names=False)


@pytest.mark.slow
def test_ceilings_are_no_part_of_the_fingerprint_and_a_finished_run_resumes(run: vigbench.Run) -> None:
    info = run.store.info()
    bare = {**info, "environment": {key: value for key, value in info["environment"].items() if key != "ceilings"}}
    assert fingerprint(bare) == fingerprint(info)
    _, planned = resume_plan(run.folder)
    assert len(planned.cases) == CASES


@pytest.mark.slow
def test_the_run_compares_with_itself_and_as_a_frame(run: vigbench.Run, frame: pd.DataFrame) -> None:
    for base, head in ((run, run), (frame, frame), (run, frame)):
        found = vigbench.compare(base, head)
        assert len(found) == CASES
        assert found["ratio"].tolist() == pytest.approx([1.0] * CASES)
    assert found["length"].tolist() == frame["length"].tolist()


@pytest.mark.slow
def test_its_report_speaks_of_tokens(run: vigbench.Run, frame: pd.DataFrame, tmp_path: Path) -> None:
    page = write_page(frame, run.store.info(), tmp_path).read_text(encoding="utf-8")
    assert "At 32 tokens" in page
    assert "A large copy reaches" in page


def test_what_the_device_cannot_run_is_unsupported_with_the_reason(tmp_path: Path) -> None:
    overrides = Overrides(
        subject=["gla"], implementation=["triton_recurrent"], length=[16], shape=["1x4x8"], phase=["inference"]
    )
    run = vigbench.run("kernels-gla", out=tmp_path, device="cpu", overrides=overrides)
    (record,) = run.store.records()
    assert record.status == "unsupported"
    assert (record.operator, record.unit) == ("gla", "sequence")
    assert "triton" in record.reason


@pytest.mark.parametrize(
    ("suite", "overrides", "expected"),
    [
        ("kernels-gla", Overrides(resolution=[64]), "give one kind"),
        ("smoke", Overrides(length=[64]), "give one kind"),
        ("smoke", Overrides(subject=["gla"]), "gla is an operator: give it --length and --shape"),
        ("kernels-gla", Overrides(subject=["resnet18"]), "resnet18 is a model: give it --resolution"),
        ("kernels-gla", Overrides(memory_format=["channels_last"]), "channels_last is a layout of images"),
        ("kernels-gla", Overrides(phase=["training_step"]), "has no phase training_step: sequences are measured"),
        ("kernels-gla", Overrides(shape=["3x32"]), "write for example 3x32x64"),
    ],
)
def test_models_and_operators_do_not_mix(tmp_path: Path, suite: str, overrides: Overrides, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        plan_suite(suite, "cpu", overrides)
    with pytest.raises(ValueError, match=expected):
        start_run(suite, out=tmp_path, device="cpu", overrides=overrides)
    assert not list(tmp_path.iterdir())
