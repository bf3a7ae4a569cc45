"""Kernel time: how long the device itself needs for one call, whatever the host takes to launch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import torch

from vigbench.measure.device_queue import CudaQueue, DeviceQueue
from vigbench.measure.latency import between_samples
from vigbench.measure.sampling import Criterion, Samples, sample

FIRST_SPIN_S, MAX_SPIN_S = 1e-3, 0.1  # at least doubled in between until the launches of a call fit behind it
SPIN_MARGIN = 1.5  # over the time that launching took: it varies
MAX_EXPOSED_SHARE = 0.05  # of the samples: so few cannot move a median


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
