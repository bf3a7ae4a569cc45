"""The user's own models in workers: from the current folder, and as plug-ins."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import vigbench
from vigbench.records.store import RunStore
from vigbench.runner.duel import Contestant, Effort, run_duel
from vigbench.runner.process import run_in_worker
from vigbench.runner.run import plan_suite, resume_plan
from vigbench.runner.survey import UNKNOWN_GMACS, gmacs_of
from vigbench.suites.case import Case
from vigbench.suites.planner import Overrides
from vigbench.worker.build import build_on_device
from vigbench.worker.messages import Job, Outcome

MODULE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)
        nn.init.constant_(self.layer.bias, 7.0)

    def forward(self, x):
        return self.layer(x).mean((2, 3))


def make_net(): return Net()
def raises(): raise RuntimeError("no licence")


def even_sides_only(img_size):
    if img_size % 2:
        raise ValueError("the side must be even")
    return Net()
"""
ENTRIES = {
    "worked_net": "worked_nets:make_net",
    "raising_net": "worked_nets:raises",
    "even_net": "worked_nets:even_sides_only",
    "broken_net": "worked_broken:make_net",
    "lacking_net": "worked_lacking:make_net",
    "lost_net": "worked_lost:make_net",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a module in it; it is not on sys.path."""
    (tmp_path / "worked_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    yield tmp_path
    sys.modules.pop("worked_nets", None)


@pytest.fixture
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as plug-ins, beside broken ones."""
    (folder / "worked_broken.py").write_text("raise RuntimeError('broken on purpose')")
    (folder / "worked_lacking.py").write_text("import no_such_package_of_ours")
    metadata = folder / "site" / "demo_nets-0.3.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-nets\nVersion: 0.3\n")
    entries = [f"{name} = {target}" for name, target in ENTRIES.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[vigbench.subjects]", *entries]) + "\n")
    monkeypatch.setattr(sys, "path", [str(folder / "site"), str(folder), *sys.path])


def measure(subject: str, resolution: int = 32) -> Outcome:
    case = Case(subject=subject, resolution=resolution, threads=1)
    return run_in_worker(Job(case=case, budget_s=0.5), timeout_s=1200.0, on_stage=lambda stage: None)


def test_a_worker_finds_a_model_in_the_current_folder(folder: Path) -> None:
    outcome = measure("worked_nets:make_net")
    assert outcome.status == "ok", outcome.reason


@pytest.mark.parametrize(
    ("subject", "resolution", "status", "reason"),
    [
        ("worked_net", 32, "ok", ""),
        ("even_net", 33, "unsupported", "even_net cannot be built for 33 px: ValueError: the side must be even"),
        ("raising_net", 32, "error", "RuntimeError: no licence"),
        ("broken_net", 32, "error", "importing worked_broken raised RuntimeError: broken on purpose"),
        ("lacking_net", 32, "unsupported", "pip install no_such_package_of_ours"),
        ("lost_net", 32, "error", "no module 'worked_lost'"),
    ],
)
def test_a_plug_in_ends_in_one_status_with_a_reason(
    installed: None, subject: str, resolution: int, status: str, reason: str
) -> None:
    outcome = measure(subject, resolution)
    assert (outcome.status, reason in outcome.reason) == (status, True), outcome.reason


def test_a_size_that_no_image_has_is_refused_before_a_factory_is_asked(folder: Path) -> None:
    subject, size = "worked_nets:even_sides_only", "8x32x32"
    with pytest.raises(ValueError, match="takes images, height x width: 8x32x32 has 3 sides"):
        vigbench.create_case(subject, device="cpu", resolution=size)
    with pytest.raises(ValueError, match="takes images, height x width: 8x32x32 has 3 sides"):
        plan_suite(None, "cpu", Overrides(subject=[subject], resolution=[size]))


def test_a_factory_that_cannot_be_imported_is_a_mistake_whatever_is_asked(folder: Path) -> None:
    (folder / "worked_lacking.py").write_text("import no_such_package_of_ours")
    for name in ("worked_lacking:net", "worked_nets:gone", "worked_gone:net"):
        with pytest.raises(ValueError, match=f"^Subject {name!r}"):
            vigbench.create_case(name, device="cpu")
        with pytest.raises(ValueError, match=f"^Subject {name!r}"):
            plan_suite(None, "cpu", Overrides(subject=[name]))


FAILING_TASK = """
from vigbench.subjects.image import ImageTask
from worked_nets import make_net as made

class Task(ImageTask):
    def macs(self, case):
        return 1 // 0

def make_net(): return made()
make_net.task = Task
"""


def test_a_task_s_count_that_fails_stops_no_estimate(folder: Path) -> None:
    (folder / "worked_task.py").write_text(FAILING_TASK)
    by_itself, with_task = (Case(subject=f"{name}:make_net", resolution=33) for name in ("worked_nets", "worked_task"))
    assert gmacs_of(with_task) == gmacs_of(by_itself) != UNKNOWN_GMACS


@pytest.mark.parametrize("subject", ["worked_nets:make_net", "worked_net"])
def test_own_weights_are_left_alone(installed: None, subject: str) -> None:
    model = build_on_device(Case(subject=subject, resolution=32))
    assert torch.equal(model.get_parameter("layer.bias"), torch.full((4,), 7.0))


@pytest.mark.slow
@pytest.mark.usefixtures("short_sampling")
def test_a_run_of_named_subjects_from_python_can_be_resumed_where_they_are_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Overrides(threads=1, budget=7200.0, case_timeout=1200.0)
    run = vigbench.run(subject="worked_nets:make_net", resolution=32, device="cpu", overrides=limits)
    assert run.folder.resolve().parent == folder / "results"
    info = run.store.info()
    assert (info["suite"], info["shipped_suite"]) == ("custom", False)
    assert [(record.case.subject, record.status) for record in run.store.records()] == [("worked_nets:make_net", "ok")]
    there = run.folder.resolve()
    store, planned = resume_plan(there)
    assert isinstance(store, RunStore)
    assert [case.resolution for case in planned.cases] == [32]
    assert "worked_nets" not in sys.modules, "the user's code runs in workers"
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(folder)])
    with pytest.raises(ValueError, match="Go to the folder that holds it"):
        resume_plan(there)


@pytest.mark.slow
def test_a_duel_between_two_environments_finds_the_current_folder_in_both(folder: Path) -> None:
    python = folder / "python"
    path = Path(vigbench.__file__).parents[1]
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    case = Case(subject="worked_nets:make_net", resolution=32, threads=1)
    effort = Effort(processes=1, blocks=2, block_s=0.01, timeout_s=1200)
    (pair,) = run_duel(Contestant(case, str(python)), Contestant(case), effort)
    assert len(pair.base) == len(pair.head) == 2
