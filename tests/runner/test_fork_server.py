"""One server for each way of waiting; workers have its variables and keep what they free, this process has its own."""

import json
import os
from pathlib import Path
from subprocess import run
from sys import executable

import pytest

from vigbench.measure.allocation import allocation_here, keeping_memory
from vigbench.runner.fork_server import waiting_of
from vigbench.runner.process import run_in_worker
from vigbench.suites.case import Case
from vigbench.worker.messages import Job

TELLS = """
import os
from torch import nn


class Tells(nn.Linear):
    def forward(self, x):
        with open("waiting.txt", "w") as file:
            file.write(os.environ["GOMP_SPINCOUNT"])
        return super().forward(x.mean((2, 3)))


def make(): return Tells(3, 3)
"""


def test_each_worker_waits_as_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "telling.py").write_text(TELLS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    case = Case(subject="telling:make", resolution=8, threads=2)
    for rounds in ("30000", "1000", "30000"):
        told = {"GOMP_SPINCOUNT": rounds}
        outcome = run_in_worker(Job(case=case, budget_s=0.1), timeout_s=300, on_stage=lambda _: None, waiting=told)
        assert outcome.status == "ok", outcome.reason
        assert (tmp_path / "waiting.txt").read_text() == rounds
        assert outcome.metrics.waiting == f"GOMP_SPINCOUNT={rounds}"
        assert outcome.metrics.allocation == allocation_here({**os.environ, **keeping_memory()})
        assert not {"GOMP_SPINCOUNT", *keeping_memory()} & set(os.environ)


def test_one_thread_waits_for_none_whatever_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr("vigbench.runner.fork_server.neighbours_per_core", lambda: 9.0)
    alone, several = (waiting_of(Case(subject="resnet18", resolution=32, threads=threads)) for threads in (1, 2))
    assert int(alone["GOMP_SPINCOUNT"]) > int(several["GOMP_SPINCOUNT"])


BOUND = """
import json
import os
from torch import nn


class Tells(nn.Linear):
    def forward(self, x):
        tasks = [int(task) for task in os.listdir("/proc/self/task")]
        with open("cores.txt", "w") as file:
            file.write(json.dumps([sorted(os.sched_getaffinity(task)) for task in tasks]))
        return super().forward(x.mean((2, 3)))


def make(): return Tells(3, 3)
"""


def test_where_every_core_has_a_thread_each_is_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is one core")
    (tmp_path / "bound.py").write_text(BOUND)
    monkeypatch.chdir(tmp_path)
    for threads, expected in ((len(cores), {(core,) for core in cores}), (1, {tuple(cores)})):
        case = Case(subject="bound:make", resolution=8, threads=threads)
        outcome = run_in_worker(Job(case=case, budget_s=0.1), timeout_s=300, on_stage=lambda _: None)
        assert outcome.status == "ok", outcome.reason
        assert expected <= set(map(tuple, json.loads((tmp_path / "cores.txt").read_text())))
    assert sorted(os.sched_getaffinity(0)) == cores


def test_a_file_of_the_user_s_is_not_taken_for_one_of_python_s(tmp_path: Path) -> None:
    (tmp_path / "types.py").write_text("raise ImportError('mine')")
    command = [Path(executable).with_name("vigbench"), "plan", "--subject", "types:Net", "--resolution", "64"]
    others = {name: value for name, value in os.environ.items() if name not in ("PYTHONSAFEPATH", "PYTHONPATH")}
    done = run(command, cwd=tmp_path, env=others, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "vigbench: Subject 'types:Net': types is Python's own module; rename types.py.\n"
