"""Latency: one synchronised call, or each of its parts. Throughput: queued calls, one synchronisation a block."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

from vigbench.measure.sampling import Criterion, Samples, sample

Call = Callable[[], object]
THROUGHPUT_BLOCK_S = 0.05  # long against one synchronisation (about 10 us)
MIN_BLOCKS, MAX_BLOCKS = 10, 100
LATENCY_SHARE = 0.6  # of the sampling budget where throughput needs samples of its own
BETWEEN_S = 0.05  # between two readings of the device's state, each about a millisecond: 2% of the time at most


@dataclass(frozen=True)
class Timing:
    """Raw timings of one case.

    Attributes:
        latency: seconds a call, each synchronised.
        throughput: seconds a call, each the mean over one block of queued calls; the same samples as `latency`
            on the CPU, where calls are not queued.
        calls_per_block: calls in one block.
        calibration_s: seconds of the fixed workload after each latency sample; empty where none was asked for.
    """

    latency: Samples
    throughput: Samples
    calls_per_block: int
    calibration_s: tuple[float, ...] = ()


def timed(call: Call, synchronize: Call) -> Callable[[], float]:
    """A function that runs `call` once, synchronised before and after, and returns its duration in seconds."""

    def timed_call() -> float:
        synchronize()
        begin = perf_counter()
        call()
        synchronize()
        return perf_counter() - begin

    return timed_call


def block_of(call: Call, calls: int) -> Callable[[], None]:
    """A function that makes `calls` calls without waiting in between."""

    def block() -> None:
        for _ in range(calls):
            call()

    return block


def between_samples(
    timed_call: Callable[[], float], on_block: Call | None, every_s: float = BETWEEN_S
) -> Callable[[], float]:
    """`timed_call`, followed by `on_block` outside of the timed region, at most once in `every_s` seconds."""
    if on_block is None:
        return timed_call
    last = -math.inf

    def observed() -> float:
        nonlocal last
        duration = timed_call()
        if perf_counter() - last >= every_s:
            on_block()
            last = perf_counter()
        return duration

    return observed


def measure_timing(
    call: Call,
    synchronize: Call,
    *,
    queued: bool,
    criterion: Criterion,
    budget_s: float,
    on_block: Call | None = None,
    calibration: Callable[[], float] | None = None,
) -> Timing:
    """Time `call` after warm-up.

    Args:
        call: one iteration.
        synchronize: blocks until the device has finished.
        queued: whether calls return before the device has finished (CUDA).
        criterion: the protocol's parameters.
        budget_s: seconds of sampling; a floor of samples is taken even beyond it.
        on_block: called now and then between samples, to read the device's state.
        calibration: runs a fixed workload and returns its duration in seconds; takes turns with the latency samples.
    """
    start = perf_counter()
    calibration_s: list[float] = []
    timed_call = timed(call, synchronize)

    def in_turns() -> float:
        duration = timed_call()
        if calibration is not None:
            calibration_s.append(calibration())
        return duration

    latency_budget_s = budget_s * (LATENCY_SHARE if queued else 1.0)
    latency = sample(between_samples(in_turns, on_block), criterion, latency_budget_s)
    if not queued:
        return Timing(latency, latency, 1, tuple(calibration_s))
    calls = _calls_for(THROUGHPUT_BLOCK_S, median(latency.durations_s))
    # queued calls overlap their launches with the device's work, so that they are shorter than synchronised ones
    calls = _calls_for(THROUGHPUT_BLOCK_S, timed(block_of(call, calls), synchronize)() / calls)
    timed_block = timed(block_of(call, calls), synchronize)
    blocks = replace(criterion, min_samples=MIN_BLOCKS, max_samples=MAX_BLOCKS)
    rest_s = max(0.0, budget_s - (perf_counter() - start))
    throughput = sample(between_samples(lambda: timed_block() / calls, on_block), blocks, rest_s)
    return Timing(latency, throughput, calls, tuple(calibration_s))


def _calls_for(block_s: float, call_s: float) -> int:
    return max(1, math.ceil(block_s / call_s))


@dataclass(frozen=True)
class Parts:
    """Raw timings of the parts.

    Attributes:
        by_name: seconds of each part, one for each iteration, in the order taken.
        converged: whether the interval of their sum became as narrow as the criterion asks for.
    """

    by_name: dict[str, tuple[float, ...]]
    converged: bool


def measure_parts(parts: Mapping[str, Call], synchronize: Call, criterion: Criterion, budget_s: float) -> Parts:
    """Time the parts of an iteration, in order, until the interval of their sum is narrow enough.

    Args:
        parts: name -> what the part runs; together they are one iteration after warm-up.
        synchronize: blocks until the device has finished.
        criterion: the protocol's parameters.
        budget_s: seconds of sampling; a floor of samples is taken even beyond it.
    """
    timed_parts = {name: timed(part, synchronize) for name, part in parts.items()}
    durations: dict[str, list[float]] = {name: [] for name in parts}

    def timed_iteration() -> float:
        for name, timed_part in timed_parts.items():
            durations[name].append(timed_part())
        return sum(series[-1] for series in durations.values())

    timed_iteration()  # untimed: the first may find what the whole iteration has left behind, such as gradients
    for series in durations.values():
        series.clear()
    whole = sample(timed_iteration, criterion, budget_s)
    return Parts({name: tuple(series) for name, series in durations.items()}, whole.converged)
