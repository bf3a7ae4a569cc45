"""Is the GPU busy, or does it wait for the host to launch the next kernel?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from vigbench.measure.path import events_of, is_device_work, one_profile

LAUNCH_BOUND_BELOW = 0.8  # of the latency with a kernel running; below, a faster host would help more than a faster GPU
_PROFILED_CALLS = 3  # profiling starts cold, and one call could be interrupted


def busy_time(intervals: Iterable[tuple[int, int]]) -> int:
    """Length of the union of (begin, end): what overlaps, as kernels on several streams do, counts once.

    Args:
        intervals: in any order and any one unit, begin <= end.
    """
    total, reached = 0, None
    for begin, end in sorted(intervals):
        if reached is None or begin > reached:
            total += end - begin
            reached = end
        elif end > reached:
            total += end - reached
            reached = end
    return total


def device_busy_s(call: Callable[[], object], device: torch.device) -> float | None:
    """Seconds of one call with a kernel, copy or fill running on `device`; None where the profiler saw none.

    The host is slower under a profiler and the gaps longer, but kernels take as long as without it.

    Args:
        call: one iteration, warmed up and not captured as a graph (CUPTI and graphs do not mix in all versions).
        device: a CUDA device.
    """
    torch.cuda.synchronize(device)
    with one_profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(_PROFILED_CALLS):
            call()
            torch.cuda.synchronize(device)
    index = torch.cuda.current_device() if device.index is None else device.index
    busy_ns = busy_time(device_intervals(events_of(profiler), index))
    return busy_ns / 1e9 / _PROFILED_CALLS if busy_ns else None


def busy_share(busy_s: float | None, latency_s: float) -> float | None:
    """Share of a synchronised call's latency with the device at work, 0 to 1; below `LAUNCH_BOUND_BELOW` it waits."""
    return None if busy_s is None else min(1.0, busy_s / latency_s)


def device_intervals(events: Iterable[Any], device_index: int) -> list[tuple[int, int]]:
    """(begin, end) in ns of all work of one CUDA device among the profiler's events."""
    return [
        (event.start_ns(), event.start_ns() + event.duration_ns())
        for event in events
        if event.device_type().name == "CUDA" and event.device_index() == device_index and is_device_work(event)
    ]
