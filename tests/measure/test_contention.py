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

from vigbench.measure.contention import CONTENDED_LOAD, load_of_others, workload_rate
from vigbench.runner.process import run_in_worker
from vigbench.suites.case import Case
from vigbench.worker.messages import Job

CORES = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1
SHARE = CORES / (os.cpu_count() or 1)  # of the machine, that our processes can take


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
        assert load_of_others(0.5) > 0.5 * SHARE
    assert 0 <= load_of_others(0.1) <= 1


def test_our_own_work_is_not_taken_for_others() -> None:
    """The load is read while this process sleeps, so that nothing it does can be in it."""
    begin = psutil.Process().cpu_times()
    load_of_others(0.5)
    end = psutil.Process().cpu_times()
    assert end.user + end.system - begin.user - begin.system < 0.25


def test_the_fixed_workload_has_a_rate() -> None:
    assert workload_rate(torch.device("cpu")) > 0


@pytest.mark.slow
@pytest.mark.skipif(0.5 * SHARE <= CONTENDED_LOAD, reason="may use too few cores of this machine to disturb it")
def test_a_case_beside_busy_neighbours_is_marked() -> None:
    case = Case(subject="resnet18", resolution=64, threads=1)
    with busy_neighbours():
        outcome = run_in_worker(Job(case=case, budget_s=1.0), timeout_s=1200, on_stage=lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    assert "contended" in outcome.marks
    assert outcome.metrics.other_load is not None
    assert outcome.metrics.other_load > CONTENDED_LOAD
