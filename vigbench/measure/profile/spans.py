"""The profiler's raw events as trees: what ran inside what, by thread and time; and the kernels each span launched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vigbench.measure.path import is_device_work
from vigbench.measure.profile.ranges import ITERATION

MEMORY = "[memory]"
_RUNTIME_CALL = re.compile(r"cu(da)?[A-Z]|hip[A-Z]|Activity Buffer|Iteration Start|PyTorch Profiler")


@dataclass(eq=False, slots=True)
class Span:
    """One event of the host, and what lies inside it.

    Attributes:
        begin, end: nanoseconds.
        sequence: torch's number that an operator shares with its node of the backward pass; -1: none.
        forward_thread: of a node of the backward pass: the thread of its operator; 0 for all others.
        correlation: what a kernel names as its origin.
        raw: the profiler's event.
        kernel_ns: of the kernels that were launched directly from here.
    """

    name: str
    begin: int
    end: int
    thread: int
    sequence: int
    forward_thread: int
    correlation: int
    raw: Any
    children: list[Span] = field(default_factory=list)
    kernel_ns: int = 0

    @property
    def duration(self) -> int:
        """Nanoseconds from begin to end."""
        return self.end - self.begin

    @property
    def self_ns(self) -> int:
        """Nanoseconds outside of everything inside."""
        return self.duration - sum(child.duration for child in self.children)

    def walk(self) -> Iterator[Span]:
        """This one and all inside, outermost first, in the order of time."""
        waiting = [self]
        while waiting:
            span = waiting.pop()
            yield span
            waiting.extend(reversed(span.children))


def span_trees(events: Iterable[Any], memory_of: str | None = None) -> list[Span]:
    """The outermost spans of all threads, each with its tree.

    Args:
        events: the profiler's raw events.
        memory_of: `CPU` or `CUDA`: allocations there become spans without duration; None: they are left out.
    """
    spans = sorted((_span(event) for event in events if _is_wanted(event, memory_of)), key=_order)
    roots: list[Span] = []
    around: list[Span] = []
    for span in spans:
        while around and (around[-1].thread != span.thread or span.begin >= around[-1].end):
            around.pop()
        if around:
            span.end = min(span.end, around[-1].end)
            around[-1].children.append(span)
        else:
            roots.append(span)
        if span.name != MEMORY:
            around.append(span)
    return roots


def _order(span: Span) -> tuple[int, int, int, int]:
    return span.thread, span.begin, -span.end, span.correlation


def _span(event: Any) -> Span:
    begin = event.start_ns()
    return Span(
        name=event.name(),
        begin=begin,
        end=begin + event.duration_ns(),
        thread=event.start_thread_id(),
        sequence=event.sequence_nr(),
        forward_thread=event.fwd_thread_id(),
        correlation=event.correlation_id(),
        raw=event,
    )


def _is_wanted(event: Any, memory_of: str | None) -> bool:
    name, device = event.name(), event.device_type().name
    if name == MEMORY:
        return bool(device == memory_of)
    return device == "CPU" and not _RUNTIME_CALL.match(name)


@dataclass(frozen=True)
class Kernel:
    """One run of a kernel, copy or fill on the device; nanoseconds.

    Attributes:
        origin: the innermost operator or range that launched it.
    """

    name: str
    begin: int
    end: int
    origin: Span


def attach_kernels(events: Iterable[Any], roots: Sequence[Span], device_index: int) -> list[Kernel]:
    """Add each kernel's time to the span that launched it, and return the kernels of all iterations.

    One whose origin the profiler does not know is the iteration's own.

    Args:
        events: the profiler's raw events.
        roots: all trees of the profile.
        device_index: which GPU.
    """
    spans = [span for root in roots for span in root.walk()]
    by_correlation = {span.correlation: span for span in spans if span.correlation}
    iterations = [span for span in spans if span.name == ITERATION]
    found = []
    for event in events:
        if event.device_type().name != "CUDA" or event.device_index() != device_index or not is_device_work(event):
            continue
        if event.name() == "[memory]" or not event.duration_ns():
            continue
        begin, end = event.start_ns(), event.start_ns() + event.duration_ns()
        iteration = next((span for span in iterations if span.begin <= begin < span.end), None)
        if iteration is None:
            continue
        origin = by_correlation.get(event.linked_correlation_id(), iteration)
        origin.kernel_ns += end - begin
        found.append(Kernel(event.name(), begin, end, origin))
    return found


def kernel_calls(kernels: Sequence[Kernel]) -> dict[tuple[str, str], tuple[int, int]]:
    """(kernel, what launched it) -> its calls and nanoseconds, of all iterations."""
    calls: Counter[tuple[str, str]] = Counter()
    time: Counter[tuple[str, str]] = Counter()
    for kernel in kernels:
        key = (kernel.name, kernel.origin.name)
        calls[key] += 1
        time[key] += kernel.end - kernel.begin
    return {key: (calls[key], time[key]) for key in calls}
