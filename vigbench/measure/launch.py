"""What the profiler sees of calls on a GPU: how long kernels run, and whether the device waits for the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity

from vigbench.measure.device_time import flush_buffer
from vigbench.measure.latency import timed
from vigbench.measure.path import events_of, is_device_work, one_profile

LAUNCH_BOUND_BELOW = 0.8  # of the latency with a kernel running; below, a faster host would help more than a faster GPU
FEWEST_CALLS, MOST_CALLS, CALLS_S = 3, 10, 1.0  # profiled with a warm cache, and again with a cold one: what takes 1 s
LEADING_MARKS = 3  # the profiler may miss what runs while it starts
PAUSE_S = 0.05  # the profiler's start leaves the device idle, too: a hot GPU clocks lower than one after a pause


class Work(NamedTuple):
    """A kernel, copy or fill: when it ran, in ns, and on which stream."""

    begin: int
    end: int
    stream: int


@dataclass(frozen=True)
class DeviceWork:
    """One call as the profiler saw it; the host is slower under it, but kernels take as long as without.

    Attributes:
        busy_s: seconds of a call with a kernel, copy or fill running, the cache as the call before left it.
        latency_s: seconds of a synchronised call just before, without the profiler.
        kernel_s: of each call from a flushed L2 cache, the same as `busy_s`; of all together where `cold` is False.
        cold: whether the cache was flushed; not where the buffer for it does not fit beside the case.
    """

    busy_s: float
    latency_s: float
    kernel_s: tuple[float, ...]
    cold: bool

    @property
    def busy_share(self) -> float:
        """See `busy_share`."""
        return busy_share(self.busy_s, self.latency_s)


def profile_device(call: Callable[[], object], device: torch.device) -> DeviceWork | None:
    """Profile some calls on `device`; None where the profiler saw nothing.

    Args:
        call: one iteration, warmed up and not captured as a graph (CUPTI and graphs do not mix in all versions).
        device: a CUDA device.
    """
    synchronize = partial(torch.cuda.synchronize, device)
    synchronize()
    time.sleep(PAUSE_S)
    latency_s = plain_latency(call, synchronize)
    calls = min(MOST_CALLS, max(FEWEST_CALLS, int(CALLS_S / latency_s)))
    index = torch.cuda.current_device() if device.index is None else device.index
    with suppress(torch.OutOfMemoryError):  # the buffer for flushing does not fit beside the case
        work = device_work(_profiled(call, calls, synchronize, Borders(device)), index)
        if found := read_cold(work, calls, latency_s):
            return found
    work = device_work(_profiled(call, calls, synchronize, None), index)
    busy_s = busy_time((piece.begin, piece.end) for piece in work) / 1e9 / calls
    return DeviceWork(busy_s, latency_s, (busy_s,), cold=False) if busy_s else None


def read_cold(work: Sequence[Work], calls: int, latency_s: float) -> DeviceWork | None:
    """The calls in a timeline with borders: one call, `calls` calls, then as many times a flush and a call.

    Borders have a stream of their own, that of the first work; None where they do not divide it so.

    Args:
        work: of the whole timeline, in any order.
        calls: how many with a warm cache, and how many with a cold one.
        latency_s: of a call.
    """
    groups: list[list[tuple[int, int]]] = []
    ordered = sorted(work)
    for piece in ordered:
        if piece.stream == ordered[0].stream:
            groups.append([])
        else:
            groups[-1].append((piece.begin, piece.end))
    found = [busy_time(group) / 1e9 for group in groups if group]
    if len(found) != calls + 2:
        return None
    _, warm, *cold = found
    return DeviceWork(warm / calls, latency_s, tuple(cold), cold=True)


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


def busy_share(busy_s: float, latency_s: float) -> float:
    """Share of a synchronised call's latency with the device at work, 0 to 1; below `LAUNCH_BOUND_BELOW` it waits.

    Both have to be of the same moment: a GPU that has worked for a second clocks lower than one that has just begun.
    """
    return min(1.0, busy_s / latency_s)


def plain_latency(call: Callable[[], object], synchronize: Callable[[], object]) -> float:
    """Median seconds of a few synchronised calls."""
    once = timed(call, synchronize)
    return median(once() for _ in range(FEWEST_CALLS))


def device_work(events: Iterable[Any], device_index: int) -> list[Work]:
    """All work of one CUDA device among the profiler's events."""
    return [
        Work(event.start_ns(), event.start_ns() + event.duration_ns(), event.device_resource_id())
        for event in events
        if event.device_type().name == "CUDA" and event.device_index() == device_index and is_device_work(event)
    ]


class Borders:
    """Work between calls, on a stream by which a reader of the profile knows it."""

    def __init__(self, device: torch.device) -> None:
        """Allocate the buffer that flushes the cache; torch.OutOfMemoryError where it does not fit beside the case."""
        self._buffer, self._stream = flush_buffer(device), torch.cuda.Stream(device, priority=-1)
        self._stream.wait_stream(torch.cuda.current_stream(device))

    def mark(self) -> None:
        """Leave a border, and the cache as it is."""
        self._write(self._buffer[:1])

    def flush(self) -> None:
        """Leave a border, and nothing of the last call in the L2 cache."""
        self._write(self._buffer)

    def _write(self, tensor: torch.Tensor) -> None:
        with torch.cuda.stream(self._stream):
            tensor.zero_()
        self._stream.synchronize()


def _profiled(
    call: Callable[[], object], calls: int, synchronize: Callable[[], object], borders: Borders | None
) -> list[Any]:
    """Events of `calls` calls; with borders of one to settle, of those, and of as many with a flush before each."""
    with one_profile(activities=[ProfilerActivity.CUDA]) as profiler:
        if borders is not None:
            for _ in range(LEADING_MARKS):
                borders.mark()
            call()
            synchronize()
            borders.mark()
        for _ in range(calls):
            call()
            synchronize()
        if borders is not None:
            for _ in range(calls):
                borders.flush()
                call()
                synchronize()
    return events_of(profiler)
