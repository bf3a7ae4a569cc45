"""The last lines of a run say what its numbers cannot be trusted for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vigbench.cli.running import print_disturbances
from vigbench.records.store import RunStore

WriteRun = Callable[..., Path]


def test_a_busy_machine_is_said_once_with_what_to_do(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run("busy", {"resnet18": 10.0, "resnet50": 30.0}, marks=("contended",))
    print_disturbances(RunStore.open(folder))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("2 of 2 cases were disturbed by other processes, and no conclusion rests on their times: ")
    assert line.endswith("vigbench duel A B --over 1h")


def test_a_calm_run_ends_without_it(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    print_disturbances(RunStore.open(write_run("calm", {"resnet18": 10.0})))
    assert capsys.readouterr().out == ""
