"""The check of ranks where one process has no room for the whole: smaller wholes, or none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from vigbench.subjects.catalog import task_of
from vigbench.subjects.sequence import OperatorCall, SequenceTask
from vigbench.subjects.sharding import Place
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device, make_inputs
from vigbench.worker.check_subject import CheckResult
from vigbench.worker.rank_check import check_ranks
from vigbench.worker.rank_group import Team
from vigbench.worker.references import References

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    """A single rank, in this process."""
    dist.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=0, world_size=1)
    group: Any = dist.group.WORLD
    yield Team(Place(0, 1, group, "ring"), torch.device("cpu"), group)
    dist.destroy_process_group()


def case(length: int = 512) -> Case:
    return Case(subject="gla", implementation="torch_chunk", length=length, heads=1, key_dim=4, value_dim=8, threads=1)


def checked(team: Team) -> CheckResult:
    one, task = case(), task_of("gla")
    return check_ranks(build_on_device(one), one, task, "gla", make_inputs(one, task), team, References())


@pytest.mark.parametrize(("room", "gate"), [(512, 512), (200, 128), (10, None)])
def test_what_does_not_fit_is_compared_at_half_its_size(
    team: Team, monkeypatch: pytest.MonkeyPatch, room: int, gate: int | None
) -> None:
    usual = SequenceTask.result

    def result(self: SequenceTask, model: Any, inputs: Any, trains: bool) -> Any:
        if isinstance(model, OperatorCall) and inputs["q"].shape[1] > room:
            raise MemoryError
        return usual(self, model, inputs, trains)

    monkeypatch.setattr(SequenceTask, "result", result)
    found = checked(team)
    assert found.size.get("length") == gate
    assert found.unverified == (gate is None)
