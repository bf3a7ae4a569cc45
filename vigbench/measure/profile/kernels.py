"""CUDA kernels, and the span of the host that launched each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vigbench.measure.path import is_device_work
from vigbench.measure.profile.ranges import ITERATION
from vigbench.measure.profile.spans import Span


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
        iteration = next((one for one in iterations if one.begin <= begin < one.end), None)
        if iteration is None:
            continue
        origin = by_correlation.get(event.linked_correlation_id(), iteration)
        origin.kernel_ns += end - begin
        found.append(Kernel(event.name(), begin, end, origin))
    return found
