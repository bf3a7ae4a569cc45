"""A duel's folder, read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vigbench.records.duel import read_duel
from vigbench.runner.duel import Contestant, Effort, Pair
from vigbench.runner.duel_result import DuelFolder, DuelResult
from vigbench.suites.case import Case

BASE, HEAD = (Case(subject="deit_tiny_patch16_224", implementation=one, resolution=32) for one in ("eager", "sdpa"))
PAIR = Pair(base=((0.1, 0.11), (0.1, 0.12)), head=((0.2, 0.21), (0.2, 0.24)))


@pytest.fixture
def folder(tmp_path: Path) -> DuelFolder:
    return DuelFolder(tmp_path, Contestant(BASE), Contestant(HEAD), Effort(), ["vigbench", "duel"])


def test_what_was_written_is_read(folder: DuelFolder) -> None:
    result = DuelResult.of([PAIR], "cpu", 0.03)
    folder.finish(result)
    found = read_duel(folder.folder)
    assert found is not None
    assert (found.base, found.head) == (BASE, HEAD)
    assert (found.ratio, found.low, found.high, found.pairs) == (result.ratio, result.low, result.high, 1)
    assert found.device_name == folder.info["device_name"]


def test_an_interrupted_duel_has_no_result(folder: DuelFolder) -> None:
    folder.keep(PAIR)
    assert read_duel(folder.folder) is None


def test_committed_duels_can_be_read() -> None:
    folders = sorted(Path(__file__).parents[2].glob("results/duel-*"))
    assert folders
    assert all(read_duel(one) for one in folders)


def test_what_is_no_duel_is_refused(tmp_path: Path, folder: DuelFolder) -> None:
    with pytest.raises(ValueError, match=r"is not a duel: duel\.json cannot be read"):
        read_duel(tmp_path)
    file = folder.folder / "duel.json"
    file.write_text("{")
    with pytest.raises(ValueError, match=r"duel\.json is damaged"):
        read_duel(folder.folder)
    file.write_text(json.dumps({"result": {"ratio": 1}, "base": {"case": {}}}))
    with pytest.raises(ValueError, match=r"duel\.json is damaged"):
        read_duel(folder.folder)
