"""Latency: one synchronised call. Throughput: queued calls with one synchronisation a block."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

from vigbench.measure.sampling import Criterion, Samples, sample

Call = Callable[[], object]
THROUGHPUT_BLOCK_S = 0.05  # long against one synchronisation (about 10 us)
MIN_BLOCKS, MAX_BLOCKS = 10, 100
LATENCY_SHARE = 0.6  # of the sampling budget where throughput needs samples of its own


@dataclass(frozen=True)
class Timing:
    """Raw timings of one case.

    Attributes:
        latency: seconds a call, each synchronised.
        throughput: seconds a call, each the mean over one block of queued calls; the same samples as `latency`
            on the CPU, where calls are not queued.
        calls_per_block: calls in one block.
    """

    latency: Samples
    throughput: Samples
    calls_per_block: int


def timed(call: Call, synchronize: Call) -> Callable[[], float]:
    """A function that runs `call` once, synchronised before and after, and returns its duration in seconds."""

    def timed_call() -> float:
        synchronize()
        begin = perf_counter()
        call()
        synchronize()
        return perf_counter() - begin

    return timed_call


def measure_timing(call: Call, synchronize: Call, *, queued: bool, criterion: Criterion, budget_s: float) -> Timing:
    """Time `call` after warm-up.

    Args:
        call: one iteration.
        synchronize: blocks until the device has finished.
        queued: whether calls return before the device has finished (CUDA).
        criterion: the protocol's parameters.
        budget_s: seconds of sampling; a floor of samples is taken even beyond it.
    """
    start = perf_counter()
    latency = sample(timed(call, synchronize), criterion, budget_s * (LATENCY_SHARE if queued else 1.0))
    if not queued:
        return Timing(latency, latency, 1)
    calls = max(1, math.ceil(THROUGHPUT_BLOCK_S / median(latency.durations_s)))

    def block() -> None:
        for _ in range(calls):
            call()

    timed_block = timed(block, synchronize)
    blocks = replace(criterion, min_samples=MIN_BLOCKS, max_samples=MAX_BLOCKS)
    throughput = sample(lambda: timed_block() / calls, blocks, max(0.0, budget_s - (perf_counter() - start)))
    return Timing(latency, throughput, calls)
