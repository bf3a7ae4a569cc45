"""The command line as a user meets it: in a process of its own where that matters, else in this one for speed."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vigbench.cli import main
from vigbench.records.store import RunStore

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: str
    stderr: str


Invoke = Callable[..., Result]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["vigbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, captured.out, captured.err)

    return run


def vigbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vigbench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["frobnicate"], "No such command"),
        (["run"], "Name a suite"),
        (["run", "--suite", "resolution-scalin"], "did you mean 'resolution-scaling'"),
        (["run", "--suite", "no/such/file.yaml"], "no suite file"),
        (["run", "--suite", "smoke", "--resolutoin", "64"], "--resolution"),
        (["run", "--suite", "smoke", "--resolution", "64,big"], "'big' is not a whole number"),
        (["run", "--suite", "smoke", "--resolution", "0"], "above 0"),
        (["run", "--suite", "smoke", "--precision", "bf61"], "did you mean 'bfloat16'"),
        (["run", "--suite", "smoke", "--compile", "maybe"], "choose true or false"),
        (["run", "--suite", "smoke", "--channels-last", "true"], "It is --memory-format now"),
        (["run", "--suite", "smoke", "--budget", "soon"], "90s, 3m or 1h30m"),
        (["run", "--suite", "smoke", "--threads", "-1"], "--threads"),
        (["run", "--suite", "smoke", "--device", "tpu"], "choose auto, cpu or cuda"),
        (["run", "--suite", "smoke", "--device", "cpu", "--subject", "diet*"], "matches 'diet*'"),
        (["run", "--suite", "smoke", "--device", "cpu", "--subject", "vig_tinny_patch16_224"], "vig_tiny_patch16_224"),
        (["run", "--suite", "smoke", "--device", "cpu", "--implementation", "flash"], "They have: torch_chunk"),
        (["run", "--suite", "kernels-gla", "--device", "cpu", "--length", "1.5"], "--length: '1.5' is not a whole"),
        (["plan", "--suite", "kernels-gla", "--shape", "3x32"], "--shape: '3x32' is not heads x key_dim x value_dim"),
        (["plan", "--suite", "kernels-gla", "--device", "cpu", "--resolution", "64"], "give one kind"),
        (["plan", "--suite", "smoke", "--device", "cpu", "--subject", "gla"], "give it --length and --shape"),
        (["duel", "gla", "attention", "--length", "64"], "both --length and --shape"),
        (["duel", "gla", "attention"], "gla is an operator"),
        (["duel", "resnet18", "resnet18", "--length", "64", "--shape", "1x4x4"], "resnet18 is a model"),
        (["run", "--resume", "/nowhere"], "is not a run"),
        (["run", "--resume", "/nowhere", "--resolution", "64"], "beside it only --budget"),
        (["run", "--suite", "smoke", "--device", "cpu", "--out", "/proc/x"], "Choose another folder with --out"),
        (["report", "/nowhere"], "is not a run"),
        (["report"], "RUN"),
        (["list", "suits"], "did you mean 'suites'"),
        (["list", "subjects", "no_such_*"], "No subjects match"),
        (["plan", "--suite", "smok"], "did you mean 'smoke'"),
        (["run", "--suite", "smoke", "--max-batch", "--memory-limit", "much"], "for example 8GiB"),
        (["run", "--suite", "smoke", "--memory-limit", "8GiB"], "belongs to --max-batch"),
        (["run", "--suite", "smoke", "--processes", "0"], "--processes"),
        (["gate", "--suite", "smoke"], "--baseline"),
        (["plan", "--subject", "glims", "--scan", "/nowhere/scan.nii"], "there is no file /nowhere/scan.nii"),
        (["plan", "--subject", "glims", "--overlap", "1"], "not a number from 0 to below 1"),
        (["plan", "--subject", "glims", "--weighting", "gausian"], "choose from constant, gaussian"),
        (["plan", "--subject", "glims", "--resolution", "96x64"], "takes volumes, depth x height x width"),
    ],
)
def test_wrong_input_ends_in_one_line_and_exit_code_2(invoke: Invoke, arguments: list[str], expected: str) -> None:
    result = invoke(*arguments)
    assert result.returncode == 2
    assert expected in result.stderr
    assert result.stderr.startswith("vigbench: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("axis", ["{from: 224, to: 512}", "[[224, 384]]", "[{a: 1}]"])
def test_an_axis_that_is_no_list_of_values_is_named(invoke: Invoke, tmp_path: Path, axis: str) -> None:
    suite = tmp_path / "odd.yaml"
    suite.write_text(f"name: odd\nquestion: What?\nsubjects: [resnet18]\nprofiles: {{cpu: {{resolution: {axis}}}}}\n")
    result = invoke("plan", "--suite", str(suite), "--device", "cpu")
    assert result.returncode == 2
    assert "odd.yaml: profiles.cpu.resolution" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plan", "--suite", "smoke", "--batch-size", "9" * 320], "below 10^9"),
        (["plan", "--suite", "smoke", "--budget", "0.00001s"], "budget"),
        (["run", "--suite", "smoke", "--out", "{file}"], "Choose another folder"),
        (["report", "{run}", "--out", "{file}"], "Not a directory"),
        (["run", "--resume", "{run}", "--device", "cpu"], "--max-batch can be set"),
    ],
)
def test_what_fails_on_the_way_is_one_line_too(
    invoke: Invoke, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    file, run = tmp_path / "file", Path(__file__).parents[2] / "results" / "resolution-scaling-cpu-20261121"
    file.write_text("")
    result = invoke(*(one.format(file=file, run=run) for one in arguments))
    assert result.returncode == 2
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1
    assert "pydantic" not in result.stderr


def test_wrong_input_is_the_same_from_a_shell() -> None:
    result = vigbench("run", "--suite", "smok")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "vigbench: There is no suite 'smok'; did you mean 'smoke'? "
        "Suites: at-its-best, backbones-224, diffusion-sampling, diffusion-scaling, kernels-gla, layers, operators, "
        "regression, resolution-scaling, sequence-parallel-vig, sequence-parallel, smoke, training-step, vig-mixers, "
        "volume-scan, volumes.\n"
    )


def test_help_does_not_import_torch() -> None:
    code = "import sys, vigbench.cli; print('torch' in sys.modules, 'pandas' in sys.modules, 'pydantic' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert result.stdout.split() == ["False", "False", "False"]


COMMANDS = (
    *("run", "plan", "compare", "duel", "gate", "claims", "scaling", "evaluate", "profile", "report", "list", "doctor"),
    *("tune", "check"),
)
OPTIONS = {
    "run": "suite device out resume subject implementation resolution length shape batch-size precision phase compile "
    "cuda-graph memory-format tf32 threads processes calibrate budget case-timeout max-batch memory-limit plan quiet "
    "no-report csv-dialect",
    "compare": "metric margin across format csv-dialect out fail-on-inconclusive",
    "duel": "resolution length shape batch-size precision phase device compile cuda-graph memory-format tf32 threads "
    "processes blocks over margin base-python out quiet",
    "gate": "baseline suite baseline-python head out margin markdown across fail-on-inconclusive processes blocks "
    "quiet",
    "claims": "suite-run claim measure device threads budget out format csv-dialect quiet",
    "scaling": "metric against memory format csv-dialect out",
    "evaluate": "subject checkpoint data resolution batch-size precision implementation device threads workers "
    "crop-pct interpolation class-map ema no-ema tf32 out resume quiet",
    "profile": "subject implementation resolution length shape batch-size precision phase device threads tf32 "
    "memory-format iterations out",
    "report": "base across evidence csv-dialect out",
    "doctor": "noise threads",
    "tune": "shape length precision pass batch-size out again",
    "check": "operator implementation precision device format jobs",
}


def test_the_surface_of_the_command_line_is_frozen() -> None:
    assert [word for word in COMMANDS if word not in vigbench("--help").stdout] == []
    for command, options in OPTIONS.items():
        text = vigbench(command, "--help").stdout
        assert [f"--{option}" for option in options.split() if f"--{option}" not in text] == [], command
    text = vigbench("run", "--help").stdout
    assert "Exit codes: 0" in text.replace("\n", " ")


def test_version() -> None:
    from importlib.metadata import PackageNotFoundError, version

    result = vigbench("--version")
    assert result.returncode == 0
    try:
        assert result.stdout.strip() == version("vigbench")
    except PackageNotFoundError:
        assert result.stdout.strip()


def test_plan_prints_cases_and_time_and_leaves_nothing_behind(invoke: Invoke, tmp_path: Path) -> None:
    out = tmp_path / "results"
    for arguments in (["plan"], ["run", "--plan", "--out", str(out)]):
        result = invoke(*arguments, "--suite", "smoke", "--device", "cpu", "--resolution", "96", "--subject", "deit*")
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        assert len(lines) == 3
        assert "deit_tiny_patch16_224 [eager] 96px" in lines[0]
        assert "2 cases" in lines[-1]
        assert "Nothing was measured" in lines[-1]
    assert not out.exists()


def test_a_plan_of_operators_names_length_and_shape(invoke: Invoke) -> None:
    result = invoke(
        "plan",
        "--suite",
        "kernels-gla",
        "--device",
        "cpu",
        "--length",
        "64",
        "--shape",
        "2x4x8",
        "--phase",
        "inference",
    )
    assert result.returncode == 0, result.stderr
    assert "attention [sdpa] 2x4x8 64 tokens b1 float32" in result.stdout
    assert "5 cases on cpu" in result.stdout


def test_a_plan_for_cuda_needs_no_cuda_device(invoke: Invoke) -> None:
    result = invoke("plan", "--suite", "smoke", "--device", "cuda", "--resolution", "64", "--subject", "vig*")
    assert result.returncode == 0, result.stderr
    assert "vig_tiny_patch16_224 [torch_chunk] 64px b1 bfloat16" in result.stdout


def test_lists(invoke: Invoke) -> None:
    assert "resolution-scaling" in invoke("list", "suites").stdout
    assert invoke("list", "subjects", "vig_h*").stdout.split()[::2] == [
        "vig_h_base_patch4_224",
        "vig_h_small_patch4_224",
        "vig_h_tiny_patch4_224",
    ]
    assert "gla                operator: bidirectional gated" in invoke("list", "subjects", "gla*").stdout
    assert "operator: softmax attention" in invoke("list", "subjects").stdout
    implementations = invoke("list", "implementations").stdout
    assert "gla/torch_chunk" in implementations
    assert "attention/eager" in implementations


def test_doctor_says_what_is_missing_and_how_to_get_it(invoke: Invoke) -> None:
    result = invoke("doctor")
    assert result.returncode == 0, result.stderr
    for word in ("CPU: ", "Memory: ", "GPU: ", "flash-attn", "mamba-ssm", "flash-linear-attention", "gla/reference"):
        assert word in result.stdout


@pytest.mark.slow
def test_a_run_from_the_shell_ends_with_records_and_a_report(tmp_path: Path) -> None:
    result = vigbench(
        "run", "--suite", "smoke", "--device", "cpu", "--resolution", "64", "--subject", "deit*", "--out", str(tmp_path)
    )
    assert result.returncode == 0, result.stderr
    (folder,) = tmp_path.iterdir()
    assert [record.status for record in RunStore.open(folder).records()] == ["ok", "ok"]
    assert f"Records: {folder}/records.csv" in result.stdout
    assert (folder / "report.html").is_file()
    assert {path.suffix for path in (folder / "figures").iterdir()} == {".png", ".svg", ".pdf"}
    again = vigbench("report", str(folder), "--out", str(tmp_path / "elsewhere"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "elsewhere" / "report.html").is_file()
