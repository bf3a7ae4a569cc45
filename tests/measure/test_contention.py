"""Load of other processes is felt and marked. The other processes are real."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import torch

from vigbench.measure import contention
from vigbench.measure.contention import CONTENDED_LOAD, load_of_others, workload_rate
from vigbench.runner.process import run_in_worker
from vigbench.suites.case import Case
from vigbench.worker.messages import Job

CORES = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1


@contextmanager
def busy_neighbours() -> Iterator[None]:
    """A process in an endless loop on each core that we may use."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(CORES)]
    time.sleep(0.3)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_busy_neighbours_are_seen() -> None:
    with busy_neighbours():
        assert load_of_others(0.5) > 0.5
    assert 0 <= load_of_others(0.1) <= 1


@pytest.mark.parametrize(
    ("ours", "load"),
    [({0, 3}, 0.6), ({1}, 0.1), (None, 0.3), ({2, 9}, 0.3)],  # core 9 is hidden: then all count
)
def test_only_the_cores_that_we_may_use_count(
    ours: set[int] | None, load: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: [40.0, 10.0, 0.0, 80.0, 20.0])
    monkeypatch.setattr(contention, "usable_cores", lambda: ours)
    assert load_of_others() == pytest.approx(load)


def test_our_own_work_is_not_taken_for_others() -> None:
    """The load is read while this process sleeps, so that nothing it does can be in it."""
    begin = psutil.Process().cpu_times()
    load_of_others(0.5)
    end = psutil.Process().cpu_times()
    assert end.user + end.system - begin.user - begin.system < 0.25


def test_the_fixed_workload_has_a_rate() -> None:
    assert workload_rate(torch.device("cpu")) > 0


@pytest.mark.slow
def test_a_case_beside_busy_neighbours_is_marked() -> None:
    case = Case(subject="resnet18", resolution=64, threads=1)
    with busy_neighbours():
        outcome = run_in_worker(Job(case=case, budget_s=1.0), timeout_s=1200, on_stage=lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    assert "contended" in outcome.marks
    assert outcome.metrics.other_load is not None
    assert outcome.metrics.other_load > CONTENDED_LOAD
