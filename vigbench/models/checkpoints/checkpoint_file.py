"""What is in a checkpoint's file, read without running any code that it may carry."""

from __future__ import annotations

import re
import warnings
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

# Released checkpoints carry their training configuration beside the weights. Reading it as plain data runs no code, and
# lets torch's weights-only unpickler, which timm uses too, accept the file without yacs being installed.
add_safe_globals([(OrderedDict, "yacs.config.CfgNode"), set, Namespace])

_POINTER = b"version https://git-lfs.github.com/spec"
_PAGE = (b"<!doctype", b"<html", b"<?xml")


class PassedOver:
    """Stands for a value beside the weights: neither its class nor its content is looked at, so that no code runs."""

    def __new__(cls, *_content: object) -> PassedOver:
        """One, whatever it is made of."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Leave the content."""


def _dtype(kind: object, *_content: object) -> PassedOver:
    """For numpy.dtype, whose objects may be anything."""
    if "O" in str(kind):
        raise UnpicklingError("GLOBAL numpy.dtype('O')")
    return PassedOver()


def _mapping(*_content: object) -> dict[Any, Any]:
    return {}


def _list(*_content: object) -> list[Any]:
    return []


_HARMLESS = {
    "argparse": "Namespace",
    "builtins": "bool dict float frozenset int list range slice str tuple",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "numpy": "ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",  # as NumPy 1 wrote it
    "numpy._core.multiarray": "_reconstruct scalar",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "pathlib._local": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",  # as Python 3.13 wrote it
    "torch.torch_version": "TorchVersion",
    "types": "SimpleNamespace",
}
# what training loops keep beside weights, and what is made of it while a checkpoint is read
BESIDE: dict[str, Callable[..., Any]] = {
    **{f"{module}.{name}": PassedOver for module, names in _HARMLESS.items() for name in names.split()},
    "numpy.dtype": _dtype,
    "collections.defaultdict": _mapping,
    "collections.deque": _list,
}


def read_file(path: Path) -> Any:
    """The content of a file of torch.save, or of a .safetensors, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is something else, damaged, or holds pickled code; the message says which.
    """
    try:
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name the checkpoint's file in it.")
        if not path.is_file():
            raise FileNotFoundError(f"no checkpoint at {path}: check the path")
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}. Check its name and permissions.") from error
    if other := _something_else(head):
        raise ValueError(f"{path} {other}")
    try:
        with warnings.catch_warnings(action="ignore"), _values_beside():
            if path.suffix.lower() == ".safetensors" or head[4:9] == b"\0\0\0\0{":
                return load_file(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes of its reader
        raise ValueError(_unreadable(path, error)) from error


def _something_else(head: bytes) -> str:
    """What a file is that begins like that; empty where it may be a checkpoint."""
    if not head:
        return "is empty: copy or download it again."
    if head.startswith(_POINTER):
        return "is a pointer of Git LFS, which stands for the weights: fetch them with git lfs pull."
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_PAGE):
        return "is a web page: its download went wrong. Open it in a browser to see why, then download it again."
    return ""


def _unreadable(path: Path, error: Exception) -> str:
    text = str(error).rpartition("WeightsUnpickler error: ")[2].strip()
    if refused := re.search(r"GLOBAL (\S+)", text):
        return (
            f"{path} holds pickled code, which is never run: {refused[1]}. Where you trust it, load it yourself and "
            "save its tensors: torch.save({'model': state_dict}, new_path)."
        )
    reason = f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
    return f"{path} is damaged, or no checkpoint of PyTorch or safetensors ({reason}): copy or download it again."


@contextmanager
def _values_beside() -> Iterator[None]:
    """Let torch's weights-only unpickler pass over what is harmless, instead of what else was allowed by its name."""
    before = get_safe_globals()
    others = [one for one in before if _name(one) not in BESIDE]
    clear_safe_globals()
    add_safe_globals([*others, *((made, name) for name, made in BESIDE.items())])
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


def _name(allowed: Any) -> str:
    return allowed[1] if isinstance(allowed, tuple) else f"{allowed.__module__}.{allowed.__qualname__}"
