"""The parts of one iteration, timed apart: each synchronised, all in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vigbench.measure.latency import Call, timed
from vigbench.measure.sampling import Criterion, sample


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
