"""What is compiled for a call, and by what: graphs of torch.compile, and where it broke one; kernels of Triton."""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch._dynamo.eval_frame import OptimizedModule
from torch._dynamo.utils import counters

T = TypeVar("T")

_NO_COMPILER = ("InvalidCxxCompiler", "Failed to find C compiler")


@dataclass(frozen=True)
class Compilation:
    """What was compiled during a call.

    Attributes:
        graphs: graphs that went to the compiler's backend.
        graph_breaks: places at which a graph had to end, and Python went on until the next one.
    """

    graphs: int
    graph_breaks: int


def watch_compilation(first_call: Callable[[], T]) -> tuple[T, Compilation]:
    """Make the call that compiles; its result, and what it compiled."""
    counters.clear()
    result = first_call()
    return result, Compilation(counters["stats"]["unique_graphs"], sum(counters["graph_break"].values()))


def not_compiled(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that torch's or Triton's compiler found none for C++ or C."""
    while error is not None:
        if any(words in f"{type(error).__name__} {error}" for words in _NO_COMPILER):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def watch_kernels() -> Iterator[list[float]]:
    """Seconds that Triton takes for each kernel that it compiles, or finds compiled on disk, in the meantime."""
    seconds: list[float] = []
    if find_spec("triton") is None:
        yield seconds
        return
    from triton import knobs

    before = knobs.compilation.listener

    def listen(**event: Any) -> None:
        seconds.append(event["times"].total / 1e6)
        if before is not None:
            before(**event)

    knobs.compilation.listener = listen
    try:
        yield seconds
    finally:
        knobs.compilation.listener = before


def missing_compiler() -> str:
    """What torch.compile lacks on a CPU, and what installs it; empty if nothing. torch's inductor looks so too."""
    from torch._inductor import config

    cxx = config.cpp.cxx
    names = [name for name in ((cxx,) if isinstance(cxx, str) else cxx) if name]
    if not any(map(_runs, names)):
        return (
            f"torch.compile needs a C++ compiler, and {' or '.join(names)} does not run: apt-get install g++ (or name "
            "another one in the environment variable CXX)"
        )
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        return f"torch.compile needs Python's header files, and {headers} lacks Python.h: apt-get install python3-dev"
    return ""


def _runs(compiler: str) -> bool:
    try:
        command = [*shlex.split(compiler), "--version"]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0  # noqa: S603
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False


def already_compiled(model: nn.Module) -> str:
    """Why torch.compile finds nothing to compile in a model that is compiled; empty if it is not.

    To be asked of a model of which nothing was compiled: one that is compiled in parts may well have compiled others.
    """
    for name, module in model.named_modules():
        what = f"its module {name}" if name else "it"
        if isinstance(module, torch.jit.ScriptModule):
            return f"{what} is TorchScript already. Return the plain model, or measure this one with compile: false."
        if isinstance(module, OptimizedModule) or module._compiled_call_impl is not None:
            return (
                f"{what} is compiled already. Return the plain model, which compile: true compiles, or measure this "
                "one with compile: false."
            )
    return ""
