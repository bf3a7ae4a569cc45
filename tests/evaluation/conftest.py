"""Images, a checkpoint, and factories of the user's own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.evaluation.pictures import CLASSES, MODULE, save_model, write_image


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """An evaluation sets the threads of its process, which is that of the tests here."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three images of each class, patterns of noise."""
    for label, name in enumerate(CLASSES):
        for number in range(3):
            write_image(tmp_path / "data" / name / f"{number}.png", 10 * label + number)
    return tmp_path / "data"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_model(tmp_path / "vit.pt")


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Checkpoints of the factories of the module `evaluated_nets`."""
    (tmp_path / "evaluated_nets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "evaluated_nets", raising=False)
    names: dict[str, Any] = {}
    exec(MODULE, names)

    def save(factory: str) -> Path:
        torch.save(names[factory]().state_dict(), tmp_path / f"{factory}.pt")
        return tmp_path / f"{factory}.pt"

    return save
