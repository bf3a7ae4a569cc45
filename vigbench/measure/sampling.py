"""When to start counting (warm-up) and when to stop (sequential stopping). Knows callables, not models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from vigbench.stats.order import median_interval


@dataclass(frozen=True)
class Criterion:
    """Parameters of protocol 1 (docs/measurement.md, Warm-up and Sampling)."""

    min_warmup: int
    max_warmup: int
    warmup_agreement: float  # two successive windows' medians differ by less than this share
    warmup_share: float  # of the time budget; beyond it warm-up ends after min_warmup calls
    min_samples: int  # before the interval may stop the sampling
    floor_samples: int  # before the budget may stop it
    max_samples: int
    half_width: float  # relative half-width of the median's 95% interval

    @property
    def warmup_window(self) -> int:
        """Calls in one window."""
        return max(2, self.min_warmup // 2)


CPU = Criterion(
    min_warmup=3,
    max_warmup=20,
    warmup_agreement=0.01,
    warmup_share=0.2,
    min_samples=10,
    floor_samples=5,
    max_samples=500,
    half_width=0.03,
)
CUDA = Criterion(
    min_warmup=10,
    max_warmup=200,
    warmup_agreement=0.01,
    warmup_share=0.2,
    min_samples=30,
    floor_samples=5,
    max_samples=2000,
    half_width=0.01,
)


def criterion_for(device: str) -> Criterion:
    """The protocol's parameters for `cpu` or `cuda`."""
    return CUDA if device == "cuda" else CPU


@dataclass(frozen=True)
class Samples:
    """Raw durations in seconds, in the order they were taken."""

    durations_s: tuple[float, ...]
    converged: bool


def warm_up(timed_call: Callable[[], float], criterion: Criterion, budget_s: float) -> int:
    """Call until two successive windows agree, at least `min_warmup` and at most `max_warmup` times.

    Args:
        timed_call: runs one iteration and returns its duration in seconds.
        budget_s: time budget of the case; warm-up takes at most its `warmup_share` beyond the minimum.

    Returns:
        The number of calls made.
    """
    window = criterion.warmup_window
    durations: list[float] = []
    end = perf_counter() + criterion.warmup_share * budget_s
    while len(durations) < criterion.max_warmup:
        durations.append(timed_call())
        if len(durations) < criterion.min_warmup:
            continue
        if perf_counter() >= end:
            break
        if len(durations) >= 2 * window:
            before, last = median(durations[-2 * window : -window]), median(durations[-window:])
            if abs(last - before) <= criterion.warmup_agreement * before:
                break
    return len(durations)


def sample(timed_call: Callable[[], float], criterion: Criterion, budget_s: float) -> Samples:
    """Sample until the median's 95% interval is narrow enough, or the budget is spent; every sample is kept.

    Args:
        timed_call: runs one iteration (or block) and returns its duration in seconds.
        budget_s: time after which sampling stops, once `floor_samples` are there.
    """
    durations: list[float] = []
    end = perf_counter() + budget_s
    checks = _check_points(criterion)
    next_check = next(checks)
    while True:
        durations.append(timed_call())
        count = len(durations)
        at_end = count >= criterion.max_samples or (count >= criterion.floor_samples and perf_counter() >= end)
        if count < next_check and not at_end:
            continue
        narrow = median_interval(durations).relative_half_width <= criterion.half_width
        if at_end or narrow:
            return Samples(tuple(durations), converged=narrow and count >= criterion.min_samples)
        next_check = next(checks)


def _check_points(criterion: Criterion) -> Iterator[int]:
    """Sample sizes at which stopping is considered: growing by 20%, since each look is a chance to stop too early."""
    size = criterion.min_samples
    while True:
        yield size
        size = max(size + 1, int(size * 1.2))
