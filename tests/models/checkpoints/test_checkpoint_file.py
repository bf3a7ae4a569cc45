"""Files are read without running code: values beside weights are passed over, all else is refused by its name."""

import os
import pickle
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.serialization import get_safe_globals, safe_globals

from vigbench.models.checkpoints.checkpoint_file import read_file

WEIGHT = torch.arange(6.0).reshape(2, 3)
MAKE_ARRAY, MAKE_SCALAR = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]  # each NumPy keeps them elsewhere
BESIDE = {
    "number": np.float64(81.2),
    "truth": np.bool_(True),
    "text": np.str_("best"),
    "day": np.datetime64("2026-01-01"),
    "array": np.arange(6).reshape(2, 3),
    "fortran": np.asfortranarray(np.ones((2, 3), np.float16)),
    "texts": np.array(["a", "b"]),
    "rows": np.zeros(2, dtype=[("loss", "f4"), ("step", "i8")]),
    "dtype": np.dtype("f4"),
    "path": Path("runs/1"),
    "windows": PureWindowsPath("C:/runs"),
    "paths": {Path("a"): 1},
    "args": Namespace(lr=0.1, out=Path("x")),
    "simple": SimpleNamespace(lr=np.float32(0.1)),
    "ordered": OrderedDict(a=1),
    "counter": Counter("aab"),
    "default": defaultdict(list, {"loss": [1.0, np.float32(2)]}),
    "queue": deque([1, 2], maxlen=3),
    "when": datetime(2026, 1, 1, tzinfo=UTC),
    "took": timedelta(hours=1),
    "version": torch.__version__,
    "odd types": (frozenset({1}), slice(1, 2), complex(1, 2), bytearray(b"x")),
}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("legacy", [False, True])
def test_values_beside_the_weights_are_passed_over(tmp_path: Path, name: str, legacy: bool) -> None:
    file = tmp_path / "trained.pth"
    content = {"model": {"weight": WEIGHT}, name: BESIDE[name], "epoch": 3}
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    read = read_file(file)
    assert torch.equal(read["model"]["weight"], WEIGHT)
    assert read["epoch"] == 3


class Runs:
    """A pickle that calls a function when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def held(content: object) -> Any:
    """An array of objects, one of which is given."""
    made = np.empty(1, dtype=object)
    made[0] = content
    return made


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (Runs(os.mkdir, "executed"), r"\w+\.mkdir"),
        (Runs(eval, "open('executed', 'w')"), "eval"),
        (Runs(Path.touch, Path("executed")), "getattr"),
        (held(1), r"numpy.dtype\('O'\)"),
        (held(Runs(os.mkdir, "executed")), r"\w+\.mkdir|numpy.dtype\('O'\)"),
        (np.zeros(1, dtype=[("a", "O")]), r"numpy.dtype\('O'\)"),
        (np.dtype("O"), r"numpy.dtype\('O'\)"),
        (defaultdict(os.getcwd), r"\w+\.getcwd"),
        (Namespace(a=Runs(os.mkdir, "executed")), r"\w+\.mkdir"),
        (nn.Linear(1, 1), r"torch.nn.modules.linear.Linear"),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_what_could_run_code_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, named: str, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": content}, "odd.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=f"odd.pth holds pickled code, which is never run: ({named})\\. Where"):
        read_file(Path("odd.pth"))
    assert not Path("executed").exists()


def test_an_array_cannot_name_its_class_or_state(tmp_path: Path) -> None:
    """What numpy would make of these is never asked: neither is looked at."""
    for call in (
        Runs(MAKE_ARRAY, np.ndarray, (1,), b"b"),
        Runs(MAKE_SCALAR, np.dtype("f8"), b"x" * 8),
    ):
        torch.save({"model": {"weight": WEIGHT}, "odd": call}, tmp_path / "odd.pth")
        assert type(read_file(tmp_path / "odd.pth")["odd"]).__name__ == "PassedOver"


def test_what_others_allow_stays_allowed_and_reads_as_before(tmp_path: Path) -> None:
    file = tmp_path / "number.pth"
    torch.save({"model": {"weight": WEIGHT}, "best": np.float64(2.5)}, file)
    before = set(get_safe_globals())
    with safe_globals([MAKE_SCALAR, np.dtype, type(np.dtype("f8"))]):
        read_file(file)
        assert torch.load(file, weights_only=True)["best"] == 2.5
    assert set(get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)


def whole(folder: Path) -> bytes:
    torch.save({"weight": torch.zeros(1000)}, folder / "whole.pth")
    return (folder / "whole.pth").read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda _: b"", "is empty"),
        (
            lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "is a pointer of Git LFS.*lfs pull",
        ),
        (lambda _: b"\n<!DOCTYPE html><title>Sign in</title>", "is a web page"),
        (lambda _: b"<html>", "is a web page"),
        (lambda _: b"<?xml version='1.0'?><Error/>", "is a web page"),
        (lambda folder: whole(folder)[:2000], "is damaged, or no checkpoint .*RuntimeError"),
        (lambda _: b"epoch,loss\n1,2\n", "is damaged, or no checkpoint"),
        (lambda _: b"PK\x03\x04" + b"\0" * 100, "is damaged, or no checkpoint"),
        (lambda _: pickle.dumps([1, 2], protocol=4), "is damaged, or no checkpoint"),
        (lambda _: b"\x80\x02}q\x00", "is damaged, or no checkpoint"),
        (lambda _: b"\xff\0\0\0\0\0\0\0{", "is damaged, or no checkpoint .*SafetensorError"),
    ],
)
def test_other_files_are_told_apart(tmp_path: Path, content: Callable[[Path], bytes], said: str) -> None:
    (tmp_path / "file.pth").write_bytes(content(tmp_path))
    with pytest.raises(ValueError, match=f"file.pth {said}") as refused:
        read_file(tmp_path / "file.pth")
    assert "\n" not in str(refused.value)


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    save_file({"weight": WEIGHT}, tmp_path / "weights.bin")
    assert torch.equal(read_file(tmp_path / "weights.bin")["weight"], WEIGHT)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder; name the"):
        read_file(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        read_file(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="cannot be read: File name too long"):
        read_file(tmp_path / ("x" * 300))
