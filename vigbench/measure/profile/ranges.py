"""The modules of a model under their names: ranges around their calls for the profiler and NVTX, and groups of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._C._profiler import _RecordFunctionFast

ITERATION = "vigbench: iteration"
_PREFIX = "module "


def class_names(model: nn.Module) -> dict[str, str]:
    """The class of every module by its qualified name; that of the model itself is the empty text."""
    return {path: type(module).__name__ for path, module in model.named_modules()}


@contextmanager
def module_ranges(model: nn.Module, device: torch.device) -> Iterator[Mapping[str, str]]:
    """Open a range at each forward call of each module and close it at its end; nothing is left behind.

    A module that is reached in another way than by a call (its weights are used, its `forward` is called) has none.

    Args:
        model: gets hooks inside, which change no value.
        device: on CUDA the ranges are also NVTX ranges.

    Yields:
        The range's name in the profiler's events -> the module's qualified name.
    """
    ranges = _Ranges(nvtx=device.type == "cuda")
    labels: dict[str, str] = {}
    handles = []
    try:
        for path, module in model.named_modules():
            label = label_of(path)
            labels[label] = path
            handles.append(module.register_forward_pre_hook(ranges.opener(label), prepend=True))
            handles.append(module.register_forward_hook(ranges.close, always_call=True))
        yield labels
    finally:
        for handle in handles:
            handle.remove()


def label_of(path: str) -> str:
    """A range's name: what torch 2.9 would not escape in its trace, and what is no UTF-8, is written as its code."""
    text = path.encode("utf-8", "backslashreplace").decode("utf-8") or "(model)"
    return _PREFIX + "".join(f"%{ord(c):02X}" if c in '%"\\' or not c.isprintable() else c for c in text)


class _Ranges:
    """The open ranges: calls of modules nest, so that the last one opened is the first one closed."""

    def __init__(self, *, nvtx: bool) -> None:
        self.nvtx = nvtx
        self.open: list[Any] = []

    def opener(self, label: str) -> Callable[..., None]:
        def on_enter(*_: Any) -> None:
            if self.nvtx:
                torch.cuda.nvtx.range_push(label)
            entered = _RecordFunctionFast(label)  # a seventh of record_function's time
            entered.__enter__()
            self.open.append(entered)

        return on_enter

    def close(self, *_: Any) -> None:
        if not self.open:  # a hook of the model's own failed before the range was opened
            return
        self.open.pop().__exit__(None, None, None)
        if self.nvtx:
            torch.cuda.nvtx.range_pop()


def group_names(classes: Mapping[str, str]) -> dict[str, str]:
    """The group of every module: `blocks.0.attn` to `blocks.11.attn` are `blocks.*.attn`.

    Numbered modules beside each other are one group if they are all of one class.

    Args:
        classes: qualified name -> class, of all modules of a model.
    """
    numbered: dict[str, set[str]] = defaultdict(set)
    count: dict[str, int] = defaultdict(int)
    for path, name in classes.items():
        parent, _, last = path.rpartition(".")
        if last.isdecimal():
            numbered[parent].add(name)
            count[parent] += 1
    merged = {parent for parent, found in numbered.items() if len(found) == 1 and count[parent] > 1}
    return {path: _group(path, merged) for path in classes}


def _group(path: str, merged: set[str]) -> str:
    parts = path.split(".")
    return ".".join(
        "*" if part.isdecimal() and ".".join(parts[:index]) in merged else part for index, part in enumerate(parts)
    )
