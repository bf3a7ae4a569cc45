from collections.abc import Callable
from pathlib import Path

import pytest

from vigbench.runner.process import run_in_worker
from vigbench.suites.case import Case
from vigbench.worker.messages import Job, Outcome

SUBJECTS = '''
"""Subjects that misbehave, each in one way."""
import ctypes, os, signal, subprocess, sys, time
import torch
from torch import nn


class Misbehaves(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1000, 3))
        self.act = act

    def forward(self, x):
        if type(x) is torch.Tensor and not x.is_meta:  # not while it is counted
            self.act(x)
        return x.mean((2, 3)) @ self.weight.T


def fine(): return Misbehaves(lambda x: None)
def raises(): return Misbehaves(lambda x: 1 / 0)
def hangs(): return Misbehaves(lambda x: time.sleep(3600))
def segfaults(): return Misbehaves(lambda x: ctypes.string_at(0))
def is_killed(): return Misbehaves(lambda x: os.kill(os.getpid(), signal.SIGKILL))
def exits(): return Misbehaves(lambda x: (print("my last words", flush=True), os._exit(7)))
def eats_memory(): return Misbehaves(lambda x: [torch.ones(2**26) for _ in range(10**6)])
def changes_its_input(): return Misbehaves(lambda x: x.sub_(0.5))
def sleeps(): return Misbehaves(lambda x: time.sleep(0.1))
def sleeps_longer(): return Misbehaves(lambda x: time.sleep(0.2))


def leaves_by_itself():
    def act(x):
        raise SystemExit("no GPU")
    return Misbehaves(act)


def is_nan():
    model = Misbehaves(lambda x: None)
    nn.init.constant_(model.weight, float("nan"))
    return model


def tells_and_sleeps():
    def act(x):
        open(f"TOLD_FOLDER/called-{x.shape[-1]}", "w").close()
        time.sleep(0.1)
    return Misbehaves(act)


def fails_later():
    calls = []
    def act(x):
        calls.append(x)
        if len(calls) == 15:
            raise RuntimeError("the fifteenth call")
    return Misbehaves(act)


def allocates(): return Misbehaves(lambda x: torch.full((2**26,), 1.0))
def allocates_per_image(): return Misbehaves(lambda x: torch.full((len(x), 2**22), 1.0))
def no_module(): return 3
def needs_a_package(): import no_such_package
def prints_gigabytes(): return Misbehaves(lambda x: [os.write(1, b"noise " * 2**20) for _ in range(50)])


def start_sleeper(number, **options):
    code = "import os, time; time.sleep(3600)"
    child = subprocess.Popen([sys.executable, "-c", code], **options)
    with open(f"PID_FOLDER/{number}", "w") as file:
        file.write(str(child.pid))


def leaves_children():
    def act(x):
        start_sleeper(0)  # in the worker's process group
        start_sleeper(1, start_new_session=True)  # outside of it
        if os.fork() == 0:  # an orphan outside of it: a daemon
            os.setsid()
            start_sleeper(2, start_new_session=True)
            os._exit(0)
    return Misbehaves(act)


def leaves_children_and_crashes():
    def act(x):
        leaves_children().act(x)
        time.sleep(0.5)
        ctypes.string_at(0)
    return Misbehaves(act)


def leaves_children_and_hangs():
    def act(x):
        leaves_children().act(x)
        time.sleep(3600)
    return Misbehaves(act)


'''

Measure = Callable[..., Outcome]


@pytest.fixture
def subjects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path with the module `misbehaving`."""
    (tmp_path / "pids").mkdir()
    (tmp_path / "misbehaving.py").write_text(
        SUBJECTS.replace("PID_FOLDER", str(tmp_path / "pids")).replace("TOLD_FOLDER", str(tmp_path))
    )
    monkeypatch.syspath_prepend(str(tmp_path))  # workers inherit sys.path
    return tmp_path


@pytest.fixture
def measure(subjects: Path) -> Measure:
    """Measure `misbehaving:<name>` in a real worker."""

    def run(
        name: str,
        *,
        budget_s: float = 0.5,
        timeout_s: float = 1200.0,
        resolution: int = 32,
        on_stage: Callable[[str], None] = lambda stage: None,
    ) -> Outcome:
        case = Case(subject=f"misbehaving:{name}", resolution=resolution, threads=1)
        return run_in_worker(Job(case=case, budget_s=budget_s), timeout_s=timeout_s, on_stage=on_stage)

    return run
