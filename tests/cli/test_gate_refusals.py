"""The gate never passes on what it has not looked at."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vigbench
from vigbench.cli import main
from vigbench.records.fingerprint import code_hash
from vigbench.runner.duel import Contestant, ContestantFailedError
from vigbench.suites.case import Case

WriteRun = Callable[..., Path]
BOTH = {"resnet18": 10.0, "resnet50": 30.0}
DONE = {"finished_at": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def invoke(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["vigbench", "gate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    return invoke


Gate = Callable[..., tuple[int, str]]


def test_a_case_that_is_no_longer_measured_does_not_pass(write_run: WriteRun, gate: Gate) -> None:
    base = write_run("base", BOTH, calibration_ms=1.0, **DONE)
    code, said = gate("--baseline", base, "--head", write_run("head", {"resnet18": 10.0}, calibration_ms=1.0, **DONE))
    assert code == 1
    assert "no longer measured" in said
    assert gate("--baseline", base, "--head", write_run("same", BOTH, calibration_ms=1.0, **DONE))[0] == 0


@pytest.mark.parametrize("status", ["error", "crashed", "wrong_result"])
def test_a_fault_of_the_head_does_not_pass_whatever_the_base_did(write_run: WriteRun, gate: Gate, status: str) -> None:
    for name, levels in (("timeout", BOTH), ("pruned", {"vgg11": 1.0, "resnet18": 1.0})):
        base = write_run(name, levels, status=name, **DONE)
        code, said = gate("--baseline", base, "--head", write_run(f"{name}-head", BOTH, status=status, **DONE))
        assert code == 1, said


def test_runs_with_nothing_in_common_unfinished_or_of_another_suite_are_refused(
    write_run: WriteRun, gate: Gate
) -> None:
    base = write_run("base", BOTH, **DONE)
    for head, words in (
        (write_run("other", {"vgg11": 1.0}, **DONE), "no case in common"),
        (write_run("unfinished", BOTH), "is not finished; continue it with"),
        (write_run("suite", BOTH, **{**DONE, "suite": "another"}), "is a run of suite another"),
    ):
        code, said = gate("--baseline", base, "--head", head)
        assert code == 2
        assert words in said
    assert gate("--baseline", write_run("torn", BOTH), "--head", base)[0] == 2


def with_code(folder: Path, code: str) -> Path:
    info = json.loads((folder / "run.json").read_text())
    cases = [{"subject": "resnet18", "resolution": 64}]
    (folder / "run.json").write_text(json.dumps({**info, "code": code, "cases": cases}))
    return folder


@pytest.mark.slow
def test_another_build_than_the_baseline_s_is_refused_before_anything_is_measured(
    write_run: WriteRun, gate: Gate, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{Path(vigbench.__file__).parents[1]}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    base = with_code(write_run("base", BOTH, **DONE), "of-long-ago")
    code, said = gate("--baseline", base, "--head", base, "--baseline-python", python)
    assert code == 2
    assert f"has build {code_hash()} of vigbench" in said
    code, said = gate("--baseline", base, "--head", base, "--baseline-python", "/no/such/python")
    assert code == 2
    assert "Cannot start /no/such/python" in said


def test_a_build_that_cannot_take_part_does_not_pass(
    write_run: WriteRun, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vigbench.runner.gate.require_baseline", lambda *_: None)
    base, head = write_run("base", BOTH, **DONE), write_run("head", BOTH, **DONE)
    for side, expected in (("base", 2), ("head", 1)):

        def fail(base: Case, head: Case, *, base_python: Path, side: str = side, **_: object) -> None:
            sides = {"base": Contestant(base, str(base_python)), "head": Contestant(head)}
            raise ContestantFailedError(sides[side], "crashed: SIGSEGV")

        monkeypatch.setattr("vigbench.runner.gate.duel", fail)
        code, said = gate("--baseline", base, "--head", head, "--baseline-python", sys.executable)
        assert code == expected, said
        assert "crashed: SIGSEGV" in said
