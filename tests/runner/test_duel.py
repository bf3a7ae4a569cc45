"""Duels of subjects whose true ratio is known, and what becomes of a contestant that fails."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

import vigbench
from vigbench.cli import main
from vigbench.runner.duel import Contestant, ContestantFailedError, Effort, Pair, run_duel
from vigbench.runner.duel_result import DuelProgress, DuelResult
from vigbench.runner.noise import noise_report, smallest_difference
from vigbench.stats.hierarchical import Estimate
from vigbench.suites.case import Case

QUICK = Effort(processes=3, blocks=4, block_s=0.02, timeout_s=1200)


def contestant(name: str) -> Contestant:
    return Contestant(Case(subject=f"misbehaving:{name}", resolution=32, threads=1))


@pytest.mark.slow
def test_a_known_ratio_is_found(subjects: Path) -> None:
    # 0.1 s against 0.2 s of sleep: no load of the machine makes the one as long as the other
    pairs = list(run_duel(contestant("sleeps"), contestant("sleeps_longer"), QUICK))
    assert [len(pair.base) for pair in pairs] == [4, 4, 4]
    result = DuelResult.of(pairs, "cpu", 0.03)
    assert result.ratio == pytest.approx(2.0, rel=0.25)
    assert result.low <= result.ratio <= result.high
    assert result.verdict == "SLOWER"
    assert DuelResult.of([Pair(pair.head, pair.base) for pair in pairs], "cpu", 0.03).verdict == "FASTER"
    same = DuelResult.of(list(run_duel(contestant("sleeps"), contestant("sleeps"), QUICK)), "cpu", 0.5)
    assert same.verdict == "SAME"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "error: ZeroDivisionError"),
        ("is_nan", "wrong_result: The output holds NaN"),
        ("segfaults", "crashed: The worker was killed by SIGSEGV"),
        ("fails_later", "error: RuntimeError: the fifteenth call"),
    ],
)
def test_a_contestant_that_fails_is_named_with_its_reason(subjects: Path, name: str, reason: str) -> None:
    with pytest.raises(ContestantFailedError, match=f"misbehaving:{name} 32px") as error:
        list(run_duel(contestant("fine"), contestant(name), QUICK))
    assert reason in str(error.value)


@pytest.mark.slow
def test_a_contestant_that_hangs_is_given_up(subjects: Path) -> None:
    with pytest.raises(ContestantFailedError, match="timeout: no answer within 4 s"):
        list(run_duel(contestant("hangs"), contestant("fine"), Effort(timeout_s=4)))


def test_pairs_can_be_spread_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, started = [100.0], []

    def pair(*_: object) -> Pair:
        started.append(clock[0])
        clock[0] += 20.0
        return Pair(((1.0,),), ((1.0,),))

    monkeypatch.setattr("vigbench.runner.duel.monotonic", lambda: clock[0])
    monkeypatch.setattr("vigbench.runner.duel.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr("vigbench.runner.duel._run_pair", pair)
    list(run_duel(contestant("fine"), contestant("fine"), Effort(processes=4, over_s=90.0)))
    assert started == [100.0, 130.0, 160.0, 190.0]
    list(run_duel(contestant("fine"), contestant("fine"), Effort(processes=3)))
    assert started[4:] == [210.0, 230.0, 250.0]


@pytest.fixture
def other_build(tmp_path: Path) -> Path:
    """A `python` of an environment with a copy of vigbench, whose calls of the operators take longer."""
    import shutil

    copy = tmp_path / "other"
    shutil.copytree(Path(vigbench.__file__).parent, copy / "vigbench", ignore=shutil.ignore_patterns("__pycache__"))
    latency = copy / "vigbench" / "measure" / "latency.py"
    text = latency.read_text()
    assert "        begin = perf_counter()\n        call()\n" in text
    latency.write_text(text.replace("        call()\n", "        call()\n        sleep(0.05)\n").replace(
        "from time import perf_counter", "from time import perf_counter, sleep"))  # fmt: skip
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{copy}:{tmp_path}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


@pytest.mark.slow
def test_two_builds_duel_each_with_its_own_code(subjects: Path, other_build: Path) -> None:
    case = contestant("sleeps").case
    effort = replace(QUICK, processes=2)  # each imports torch anew, on both sides
    pairs = list(run_duel(Contestant(case), Contestant(case, str(other_build)), effort))
    assert DuelResult.of(pairs, "cpu", 0.03).ratio == pytest.approx(1.5, rel=0.2)
    with pytest.raises(ValueError, match="Name the Python of an environment"):
        list(run_duel(Contestant(case), Contestant(case, "/no/such/python"), QUICK))


def test_a_duel_tells_each_pair_keeps_every_call_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Listener(DuelProgress):
        ratios: ClassVar[list[float]] = []
        ended: ClassVar[list[DuelResult]] = []

        def pair_ended(self, so_far: DuelResult, effort: Effort) -> None:
            assert so_far.pairs <= effort.processes
            self.ratios.append(so_far.ratio)

        def duel_ended(self, result: DuelResult) -> None:
            self.ended.append(result)

    pairs = [Pair(((1.0,), (1.0,)), ((2.0,), (2.0,))), Pair(((1.0,), (1.0,)), ((8.0,), (8.0,)))]
    monkeypatch.setattr("vigbench.runner.duel_result.run_duel", lambda *_: iter(pairs))
    case = contestant("fine").case
    result = vigbench.duel(case, case, effort=Effort(processes=2), out=tmp_path, progress=Listener())
    assert Listener.ratios == [pytest.approx(2.0), pytest.approx(4.0)]
    assert Listener.ended == [result]
    assert result.folder is not None
    calls = pd.read_csv(result.folder / "blocks.csv")
    assert calls.groupby("side")["duration_s"].sum().to_dict() == {"base": 4.0, "head": 20.0}
    kept = json.loads((result.folder / "duel.json").read_text())["result"]
    assert sorted(kept) == sorted(["ratio", "low", "high", "base_ms", "head_ms", "verdict", "margin", "pairs"])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("effort", [{"processes": 0}, {"blocks": 0}])
def test_a_duel_of_nothing_is_refused(effort: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        Effort(**effort)


@pytest.mark.slow
def test_the_command_keeps_every_call_and_says_the_ratio(
    subjects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = "misbehaving:sleeps misbehaving:sleeps_longer --resolution 32 --threads 1 --processes 2 --blocks 2"
    monkeypatch.setattr(sys, "argv", ["vigbench", "duel", *arguments.split(), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    sentence = re.search(r"misbehaving:sleeps_longer 32px b1 float32 1 thread takes (\S+) times as long as", said)
    assert sentence is not None
    (folder,) = (tmp_path / "out").iterdir()
    calls = pd.read_csv(folder / "blocks.csv")
    assert calls.groupby(["pair", "side"])["block"].nunique().tolist() == [2] * 4
    info = json.loads((folder / "duel.json").read_text())
    assert info["result"]["ratio"] == pytest.approx(float(sentence[1]), abs=1e-3)
    assert info["environment"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["vig_tinny_patch16_224", "resnet18"], "vig_tiny_patch16_224"),
        (["resnet18@sdpa", "resnet18"], "offers no choice"),
        (["deit_tiny_patch16_224@spda", "resnet18"], "did you mean 'sdpa'"),
        (["resnet18", "resnet18", "--precision", "fp61"], "choose from float32"),
        (["resnet18", "resnet18", "--margin", "0"], "3% or 0.03"),
        (["resnet18", "resnet18", "--out", "/proc/x"], "Choose another folder"),
        (["resnet18"], "B"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["vigbench", "duel", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    errors = capsys.readouterr().err
    assert ended.value.code == 2
    assert expected in errors
    assert errors.count("\n") == 1


def test_the_smallest_difference_follows_the_spread() -> None:
    assert smallest_difference(Estimate(0.0, 0.01, 1e9)) == pytest.approx(0.0329, abs=1e-3)  # (1.96 + 1.28) of 1%
    assert smallest_difference(Estimate(0.0, 0.02, 5)) > 2 * smallest_difference(Estimate(0.0, 0.01, 5))
    pair = Pair(((1.0, 1.1),), ((1.05, 1.0),))
    text = " ".join(noise_report([pair], Estimate(0.0, 0.01, 5)))
    assert "resolves a difference of 4.1%" in text
    assert "up to 2.4% apart" in text  # 1.05 against 1.025
