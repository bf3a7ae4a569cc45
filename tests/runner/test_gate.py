"""The gate as a Python function, on runs whose truth is known."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import vigbench
from vigbench.runner.gate import GateProgress

WriteRun = Callable[..., Path]
DONE = {"finished_at": "2026-01-01T00:00:00+00:00", "calibration_ms": 1.0}


class Listener(GateProgress):
    def __init__(self) -> None:
        self.growths: list[pd.DataFrame] = []

    def growth_found(self, growth: pd.DataFrame) -> None:
        self.growths.append(growth)


def test_equal_runs_pass_and_nothing_is_printed(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    base, head = write_run("base", {"resnet18": 10.0}, **DONE), write_run("head", {"resnet18": 10.0}, **DONE)
    listener = Listener()
    found = vigbench.gate(base, head, progress=listener)
    assert found.passed
    assert not found.inconclusive
    assert listener.growths[0] is found.growth
    assert len(found.timings) == 1
    assert capsys.readouterr() == ("", "")


def test_a_slower_larger_or_lost_case_does_not_pass(write_run: WriteRun) -> None:
    base = write_run("base", {"resnet18": 10.0}, metrics={"operator_calls": 5}, **DONE)
    slower = write_run("slower", {"resnet18": 12.0}, metrics={"operator_calls": 5}, **DONE)
    assert vigbench.gate(base, slower).timings["verdict"].tolist() == ["SLOWER"]
    assert not vigbench.gate(base, slower).passed
    assert vigbench.gate(base, slower, margin=0.5).passed
    larger = write_run("larger", {"resnet18": 10.0}, metrics={"operator_calls": 6}, **DONE)
    found = vigbench.gate(base, larger)
    assert found.growth["grown"].sum() == 1
    assert not found.passed
    assert found.timings["verdict"].tolist() == ["SAME"]


def test_what_cannot_be_judged_is_refused(write_run: WriteRun, tmp_path: Path) -> None:
    base = write_run("base", {"resnet18": 10.0}, **DONE)
    with pytest.raises(ValueError, match="is not finished; continue it with"):
        vigbench.gate(base, write_run("open", {"resnet18": 10.0}))
    with pytest.raises(ValueError, match="is not a run"):
        vigbench.gate(base, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="name runs of one suite"):
        vigbench.gate(base, write_run("other", {"resnet18": 10.0}, **DONE, suite="another"))
