"""`vigbench profile`: what it prints, and what it says to wrong input."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from vigbench.cli import profiling
from vigbench.worker import profile_case as runner

pytestmark = pytest.mark.slow

CEILINGS = runner.Ceilings(copy_gb_per_s=10.0, product_tflop_per_s={"float32": 0.1})
DEIT = ("--subject", "deit_tiny_patch16_224", "--resolution", "32", "--threads", "1", "--device", "cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "vigbench.runner.profile.run_in_worker",
        lambda job, timeout_s, on_stage: runner.profile_here(job.case, job.argument, on_stage),
    )
    monkeypatch.setattr(runner, "device_ceilings", lambda device, precision: CEILINGS)
    monkeypatch.setattr(runner, "SAMPLING_BUDGET_S", 0.1)
    monkeypatch.setattr(runner, "WARMUP_BUDGET_S", 0.1)


def profile(*arguments: str) -> Result:
    app = typer.Typer()
    app.command("profile")(profiling.profile)
    return CliRunner().invoke(app, list(arguments))


def test_a_profile_prints_a_table_the_overhead_and_five_sentences(tmp_path: Path) -> None:
    result = profile(*DEIT, "--iterations", "2", "--implementation", "eager")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    (folder,) = (tmp_path / "results").iterdir()
    assert lines[0].startswith("deit_tiny_patch16_224 [eager] 32px b1 float32 1 thread on ")
    assert lines[1].split() == ["module", "share", "ms", "with", "inner", "ms", "peak", "MiB"]
    table = lines[2 : lines.index("")]
    assert len(table) == 10
    shares = [float(line.split("%")[0].split()[-1]) for line in table]
    assert shares == sorted(shares, reverse=True)
    heads = next(n for n, line in enumerate(lines) if line.startswith("operator"))
    assert lines[heads].split("  ")[-1] == "bound by"
    product = next(line for line in lines[heads:] if line.startswith("aten::addmm"))
    ms, floor, times = (float(value) for value in product.split()[2:5])
    assert times == pytest.approx(ms / floor, abs=0.1)
    assert product.split()[-1] in ("memory", "products")
    lines = lines[:12] + lines[heads + 11 :]
    assert "times as long" in lines[13]
    words = json.loads((folder / "profile.json").read_text())["words"]
    assert lines[-7:-2] == [f"{number}. {sentence}" for number, sentence in enumerate(words, 1)]
    assert lines[-1] == f"Profile: {Path('results') / folder.name}"
    assert {"modules.png", "memory.svg", "roofline.png"} <= {path.name for path in (folder / "figures").iterdir()}


@pytest.mark.slow
def test_an_operator_is_profiled_by_its_length_and_shape(tmp_path: Path) -> None:
    settings = {"subject": "gla", "length": "64", "shape": "2x8x16", "threads": "1", "device": "cpu", "iterations": "1"}
    result = profile(*(word for name, value in settings.items() for word in (f"--{name}", value)))
    assert result.exit_code == 0, result.output
    assert "gla [torch_chunk] 2x8x16 64 tokens" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--subject", "deit_tiny_patch16_22", "--device", "cpu"], "deit_tiny_patch16_224"),
        ([*DEIT, "--phase", "training_step"], "A profile is of phase inference or training"),
        ([*DEIT, "--implementation", "magic"], "magic"),
        ([*DEIT, "--length", "64"], "--resolution"),
        (["--subject", "gla", "--device", "cpu"], "gla is an operator: give it --length and --shape"),
        ([*DEIT[:-1], "tpu"], "choose auto, cpu or cuda"),
        (["--subject", "no_such_package.models:net"], "no_such_package"),
        ([*DEIT, "--out", "a_file"], "Choose another folder with --out"),
    ],
)
def test_wrong_input_is_a_line_that_says_what_to_do(tmp_path: Path, arguments: list[str], expected: str) -> None:
    (tmp_path / "a_file").write_text("")
    result = profile(*arguments)
    assert isinstance(result.exception, ValueError), result.output
    assert expected in str(result.exception)
    assert "\n" not in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]


@pytest.mark.parametrize("wrong", [["--iterations", "0"], ["--batch-size", "0"], ["--precision", "fp8"], ["--length"]])
def test_options_that_cannot_be_are_refused(wrong: list[str]) -> None:
    assert profile(*DEIT, *wrong).exit_code == 2


def test_a_subject_is_needed() -> None:
    assert profile().exit_code == 2
