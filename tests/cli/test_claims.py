"""`vigbench claims`, from the command line to what is printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from vigbench.cli import main
from vigbench.runner.duel import Effort
from vigbench.suites.axes import Device

RESULTS = Path(__file__).parents[2] / "results"
FLOPS = "vig-t-flops-1024"


def run(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["vigbench", "claims", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_multiply_adds_are_decided_on_any_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--claim", FLOPS, monkeypatch=monkeypatch) == 0
    text = capsys.readouterr().out
    assert "REFUTED" in text
    assert "published: 5.2x" in text
    assert "3.99x" in text
    assert "as the paper counts: 5.26x: supported" in text


def test_runs_and_duels_of_a_cpu_stand_beside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--suite-run", f"{RESULTS}/*-cpu-20261121*", "--claim", "vig-t-*-1024", "--format", "json"]
    assert run(*words, monkeypatch=monkeypatch) == 0
    found = {one["claim"]: one for one in json.loads(capsys.readouterr().out)}
    assert {one["verdict"] for name, one in found.items() if name != FLOPS} == {"open"}
    labels = [beside["label"] for beside in found["vig-t-speed-1024"]["points"][0]["beside"]]
    assert len(labels) == 2
    assert labels[1] == "against DeiT-T (sdpa)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--claim", "vig-t-flop-1024"], "no claim is called 'vig-t-flop-1024'"),
        (["--suite-run", "nowhere"], "nowhere names no run"),
        (["--out", "x"], "--out belongs to --measure"),
        (["--format", "xml"], "choose from text"),
        (["--budget", "soon"], "--budget"),
        (["--measure", "--device", "tpu"], "choose auto, cpu or cuda"),
    ],
)
def test_wrong_input_is_one_line(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_what_is_missing_is_measured_and_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("vigbench.runner.claims.EFFORT", {Device.cpu: Effort(processes=1, blocks=2)})
    words = [
        "--claim",
        "vig-figure-speed-224",
        "--measure",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--out",
        str(tmp_path),
    ]
    assert run(*words, monkeypatch=monkeypatch) == 0
    first = capsys.readouterr()
    assert "2 comparisons to measure" in first.err
    assert len(list(tmp_path.glob("duel-*/duel.json"))) == 2
    assert "(1 thread), batch 1, against DeiT-T (eager): " in " ".join(first.out.split())
    assert run(*words, monkeypatch=monkeypatch) == 0
    again = capsys.readouterr()
    assert "0 comparisons to measure" in again.err
    assert again.out.splitlines()[-1] == first.out.splitlines()[-1]
    assert len(list(tmp_path.glob("duel-*/duel.json"))) == 2


def test_a_spent_budget_says_what_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--claim", "vig-t-memory-1024", "--measure", "--budget", "1s", "--device", "cpu", "--out", str(tmp_path)]
    assert run(*words, monkeypatch=monkeypatch) == 0
    assert "2 comparisons are left out" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
