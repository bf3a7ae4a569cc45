"""Where ranks meet: who has a GPU, and what the first rank decides for all."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.ranks import run_ranks
from vigbench.ops.registry import UnsupportedError
from vigbench.suites.case import Case
from vigbench.worker.rank_group import meeting, takes_gpu

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
OPERATOR = {"subject": "gla", "length": 64, "heads": 1, "key_dim": 4, "value_dim": 8}


@pytest.mark.parametrize(
    ("settings", "gpus", "expected"),
    [
        ({"device": "cpu"}, 0, False),
        ({"device": "cuda"}, 4, False),
        ({"device": "cuda", "share_gpu": True}, 4, False),
        ({"device": "cuda", "share_gpu": True}, 2, True),
        ({"device": "cuda"}, 2, "4 ranks take a GPU each, and torch sees 2: .*--share-gpu true"),
        ({"device": "cuda", "share_gpu": True, "exchange": "ring"}, 2, "choose an operator with --exchange all_gather"),
        ({"device": "cuda", "share_gpu": True}, 0, "No CUDA device is visible"),
    ],
)
def test_a_rank_has_a_gpu_of_its_own_unless_it_may_share(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], gpus: int, expected: bool | str
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    case = Case(**OPERATOR, ranks=4, **settings)
    if isinstance(expected, str):
        with pytest.raises(UnsupportedError, match=expected):
            takes_gpu(case, 3)
        return
    assert takes_gpu(case, 3) is expected
    assert taken == ([] if case.device == "cpu" else [3 % gpus])


def _decided(folder: str) -> tuple[Any, list[float], list[int]]:
    rank = dist.get_rank()
    dist.destroy_process_group()  # that of the helper: a rank makes its own
    calls: list[int] = []

    def timed_call() -> float:
        calls.append(rank)
        return float(rank)

    with meeting(Case(**OPERATOR, ranks=3), rank, Path(folder)) as team:
        result = team.first_decides(lambda each: [each() for _ in range(4)], timed_call)
        gathered = team.gathered(rank)
    dist.init_process_group("gloo", f"file://{folder}/again", rank=rank, world_size=3)
    return result, gathered, calls


@pytest.mark.slow
def test_rank_0_decides_how_often_and_the_slowest_counts(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    found = run_ranks(_decided, 3, tmp_path, os.fspath(tmp_path / "own"))
    assert [result for result, _, _ in found] == [[2.0] * 4, None, None]
    assert [gathered for _, gathered, _ in found] == [[0, 1, 2]] * 3
    assert [calls for _, _, calls in found] == [[rank] * 4 for rank in range(3)]
