"""Kernel time: how long the device itself needs for one call, whatever the host takes to launch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import torch

from vigbench.measure.latency import between_samples
from vigbench.measure.sampling import Criterion, Samples, sample

FIRST_SPIN_S, MAX_SPIN_S = 1e-3, 0.1  # at least doubled in between until the launches of a call fit behind it
SPIN_MARGIN = 1.5  # over the time that launching took: it varies
MAX_EXPOSED_SHARE = 0.05  # of the samples: so few cannot move a median

FLUSH_TIMES_L2 = 2  # a write of twice the L2 cache leaves nothing of the last call in it
L2_IF_UNKNOWN = 64 * 2**20
_CALIBRATION_CYCLES = 10_000_000  # about 5 ms


@dataclass(frozen=True)
class KernelTime:
    """Device time of one call.

    Attributes:
        samples: seconds between an event before and one after the call.
        launch_hidden: whether the host had launched everything before the device began, in 95% of the samples. If
            not, the samples contain gaps and are an upper bound: launching takes longer than `MAX_SPIN_S`, the call
            waits for the device, or it has more kernels than the driver queues (about a thousand). Then the profiler's
            sum of kernels is the device's own time, see `launch.DeviceWork`.
    """

    samples: Samples
    launch_hidden: bool


def measure_kernel_time(
    call: Callable[[], object],
    device: torch.device,
    criterion: Criterion,
    budget_s: float,
    on_block: Callable[[], None] | None = None,
    queue: DeviceQueue | None = None,
) -> KernelTime | None:
    """Time `call` on the device, from a cold L2 cache.

    None where `budget_s` is too short for the fewest samples, or the flushing buffer does not fit beside the case.

    Args:
        call: one iteration after warm-up.
        device: a CUDA device.
        criterion: the protocol's parameters.
        budget_s: seconds of sampling.
        on_block: called between samples, see `latency.between_samples`.
        queue: stands in for `CudaQueue(device)` in tests.
    """
    try:
        around = CudaQueue(device) if queue is None else queue
        spin_s, one_s = _fitting_spin(call, around)
        if criterion.floor_samples * (spin_s + one_s) > budget_s:
            return None
        hidden: list[bool] = []

        def timed_call() -> float:
            shot = _shoot(call, around, spin_s)
            hidden.append(shot.hidden)
            return shot.device_s

        samples = sample(between_samples(timed_call, on_block), criterion, budget_s)
    except torch.OutOfMemoryError:
        return None
    return KernelTime(samples, hidden.count(False) <= MAX_EXPOSED_SHARE * len(hidden))


class _Shot(NamedTuple):
    device_s: float
    launch_s: float  # of the host, with whatever it had to wait for
    hidden: bool  # whether the device was still spinning when the host had launched everything


def _fitting_spin(call: Callable[[], object], queue: DeviceQueue) -> tuple[float, float]:
    """Seconds to spin, and seconds of one call on the device."""
    spin_s = FIRST_SPIN_S
    while not (shot := _shoot(call, queue, spin_s)).hidden and spin_s < MAX_SPIN_S:
        spin_s = min(max(2 * spin_s, SPIN_MARGIN * shot.launch_s), MAX_SPIN_S)
    fitting_s = min(SPIN_MARGIN * spin_s, MAX_SPIN_S) if shot.hidden else FIRST_SPIN_S  # nothing gained by spinning on
    return fitting_s, shot.device_s


def _shoot(call: Callable[[], object], queue: DeviceQueue, spin_s: float) -> _Shot:
    queue.flush()
    queue.spin(spin_s)
    begin = queue.record()
    before = perf_counter()
    call()
    launch_s = perf_counter() - before
    end = queue.record()
    hidden = not begin.query()
    end.synchronize()
    return _Shot(begin.elapsed_time(end) / 1e3, launch_s, hidden)


class Event(Protocol):
    """What this file needs of torch.cuda.Event."""

    def query(self) -> bool:
        """Whether the device has passed it."""

    def synchronize(self) -> None:
        """Wait until the device has passed it."""

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds from here to `end_event`."""


class DeviceQueue(Protocol):
    """Work that is queued on the device around a call; every method returns at once."""

    def flush(self) -> None:
        """Empty the L2 cache of what calls left there."""

    def spin(self, seconds: float) -> None:
        """Keep the device busy without touching memory."""

    def record(self) -> Event:
        """Mark this point of the queue."""


def flush_buffer(device: torch.device) -> torch.Tensor:
    """Bytes on `device` that displace whatever is in its L2 cache when they are written."""
    l2 = int(getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0)) or L2_IF_UNKNOWN
    return torch.empty(FLUSH_TIMES_L2 * l2, dtype=torch.int8, device=device)


class CudaQueue:
    """The current stream of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        """Allocate the buffer that flushes the cache, and learn how fast the device counts cycles."""
        self._buffer = flush_buffer(device)
        self._cycles_per_s = 1e9
        for _ in range(2):  # the first one loads the kernel and raises the clock
            begin = self.record()
            self.spin(_CALIBRATION_CYCLES / 1e9)
            end = self.record()
            end.synchronize()
        self._cycles_per_s = _CALIBRATION_CYCLES / (begin.elapsed_time(end) / 1e3)

    def flush(self) -> None:
        """Write the whole buffer."""
        self._buffer.zero_()

    def spin(self, seconds: float) -> None:
        """One thread counts cycles."""
        torch.cuda._sleep(int(seconds * self._cycles_per_s))

    def record(self) -> torch.cuda.Event:
        """An event with a time, about half a microsecond exact."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
