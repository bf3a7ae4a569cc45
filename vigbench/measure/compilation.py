"""What was compiled for a call: graphs of torch.compile, and where it broke one; kernels of Triton, and how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar

from torch._dynamo.utils import counters

T = TypeVar("T")

NO_COMPILER = (
    "torch.compile found no working C++ compiler here: install one (Debian, Ubuntu: apt-get install g++; or set CXX), "
    "or measure with --compile false."
)


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
    """Whether an error, or what caused it, is that torch's compiler found none for C++."""
    while error is not None:
        if "InvalidCxxCompiler" in f"{type(error).__name__} {error}":
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
