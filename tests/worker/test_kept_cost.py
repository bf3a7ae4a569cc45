"""Counts of a run are shared by the cases that would count the same, and by no others."""

from pathlib import Path
from typing import Any

import pytest

from vigbench.measure.cost import Cost
from vigbench.ops.registry import UnsupportedError
from vigbench.suites.case import Case
from vigbench.worker import kept_cost as module
from vigbench.worker.kept_cost import kept_cost
from vigbench.worker.prepare import prepare
from vigbench.worker.references import References

NET = Case(subject="resnet18", resolution=32, threads=1)
COST = Cost(macs=7, executed_macs=9, params=3, by_operator={"gla": 4, "aten.mm": 3}, calls=5, uncounted={"aten.x": 1})


def counted(folder: Path | None, case: Case) -> int:
    """How often a case was counted, whose count is `COST`."""
    calls = []

    def count() -> Cost:
        calls.append(case)
        return COST

    assert kept_cost(folder, case, count) == COST
    return len(calls)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({}, 0),
        ({"batch_size": 64, "cuda_graph": True, "tf32": True, "phase": "training"}, 0),
        ({"resolution": 64}, 1),
        ({"precision": "bfloat16"}, 1),
        ({"implementation": "other"}, 1),
        ({"memory_format": "channels_last"}, 1),
        ({"subject": "resnet34"}, 1),
    ],
)
def test_only_what_changes_a_count_is_counted_again(tmp_path: Path, change: dict[str, Any], again: int) -> None:
    assert counted(tmp_path, NET) == 1
    assert counted(tmp_path, Case.model_validate({**NET.model_dump(), **change})) == again


def test_other_code_counts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(tmp_path, NET)
    monkeypatch.setattr(module, "code_hash", lambda: "edited")
    assert counted(tmp_path, NET) == 1


@pytest.mark.parametrize("content", ["", "{}", "[3]", '{"macs": 1, "unknown": 2}'])
def test_a_damaged_file_is_counted_again(tmp_path: Path, content: str) -> None:
    counted(tmp_path, NET)
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert counted(tmp_path, NET) == 1


def test_nothing_is_kept_without_a_place_or_of_a_user_s_own_model_or_of_a_failure(tmp_path: Path) -> None:
    assert [counted(None, NET) for _ in range(2)] == [1, 1]
    assert [counted(tmp_path / "missing", NET) for _ in range(2)] == [1, 1]
    own = NET.model_copy(update={"subject": "package.module:factory"})
    assert [counted(tmp_path, own) for _ in range(2)] == [1, 1]

    def refuse() -> Cost:
        raise UnsupportedError("no")

    for _ in range(2):
        with pytest.raises(UnsupportedError):
            kept_cost(tmp_path, NET, refuse)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "case",
    [NET, Case(subject="gla", implementation="torch_chunk", length=64, heads=2, key_dim=8, value_dim=16, threads=1)],
)
def test_a_case_has_the_same_cost_from_an_earlier_one(tmp_path: Path, case: Case) -> None:
    first, second = (prepare(case, 0.1, lambda stage: None, References(tmp_path)).cost for _ in range(2))
    assert first == second == prepare(case, 0.1, lambda stage: None).cost
