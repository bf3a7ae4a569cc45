import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vigbench.cli import main

WriteRun = Callable[..., Path]
MODELS = {"resnet18": 10.0, "resnet50": 30.0}


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["vigbench", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return run


def test_exit_codes(write_run: WriteRun, compare: Callable[..., int]) -> None:
    base, same = write_run("base", MODELS), write_run("same", MODELS)
    slower = write_run("slower", {"resnet18": 12.0, "resnet50": 30.0})
    noisy = write_run("noisy", MODELS, noise=0.5)
    assert compare(base, same) == 0
    assert compare(base, same, "--fail-on-inconclusive") == 0
    assert compare(base, slower) == 1
    assert compare(base, slower, "--margin", "30%") == 0
    assert compare(base, noisy) == 0
    assert compare(base, noisy, "--fail-on-inconclusive") == 3
    assert compare(base, base.parent) == 2


def test_forms_and_files(
    write_run: WriteRun, compare: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    base, head = write_run("base", MODELS), write_run("head", MODELS)
    assert compare(base, head, "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)["cases"]) == 2
    assert compare(base, head, "--format", "markdown", "--out", tmp_path / "out.md") == 0
    assert capsys.readouterr().out == ""
    assert "2 SAME" in (tmp_path / "out.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--format", "markdwon"], "did you mean 'markdown'"),
        (["--margin", "a lot"], "for example 3% or 0.03"),
        (["--metric", "latency"], "did you mean 'latency_ms'"),
        (["--metric", "throughput_img_per_s"], "did you mean 'throughput_per_s'"),
        (["--across", "tortch"], "did you mean 'torch'"),
        (["--out", "/proc/x/y"], "Choose another file"),
    ],
)
def test_wrong_input_is_one_line(
    write_run: WriteRun,
    compare: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str,
) -> None:
    base = write_run("base", MODELS)
    assert compare(base, base, *arguments) == 2
    errors = capsys.readouterr().err
    assert expected in errors
    assert errors.count("\n") == 1
