"""What torch.compile made of a model: how many graphs, and how often it had to break one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch._dynamo.utils import counters

T = TypeVar("T")


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
