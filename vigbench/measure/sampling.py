"""When to start counting (warm-up) and when to stop (sequential stopping). Knows callables, not models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

from vigbench.stats.order import MedianInterval, median_interval
from vigbench.stats.series import effective_size, level_change, trend


@dataclass(frozen=True)
class Criterion:
    """Parameters of protocol 1 (docs/measurement.md, Warm-up and Sampling)."""

    min_warmup: int
    max_warmup: int
    min_window: int  # calls in a warm-up window; windows grow to a third of the calls made
    min_warmup_s: float  # clocks rise from idle over this time, however short the calls are
    min_samples: int  # before the interval may stop the sampling
    max_samples: int
    half_width: float  # relative half-width of the median's 95% interval
    warmup_agreement: float = 0.01  # two successive windows' medians differ by less than this share
    warmup_trend: float = 0.2  # Kendall's tau over both windows is no farther from 0
    warmup_looks: int = 2  # calls in a row at which both hold
    warmup_share: float = 0.2  # of the time budget; beyond it warm-up ends after min_warmup calls
    min_effective: float = 10.0  # independent samples, before the interval may stop the sampling
    floor_samples: int = 5  # before the budget may stop it


CPU = Criterion(
    min_warmup=3,
    max_warmup=50,
    min_window=3,
    min_warmup_s=0.0,
    min_samples=10,
    max_samples=500,
    half_width=0.03,
)
CUDA = Criterion(
    min_warmup=10,
    max_warmup=200,
    min_window=10,
    min_warmup_s=0.3,
    min_samples=30,
    max_samples=2000,
    half_width=0.01,
)


MANY_PASSES = 10


def criterion_for(device: str, passes: int = 1) -> Criterion:
    """The protocol's parameters for `cpu` or `cuda`, and an iteration of so many passes of its model.

    One of `MANY_PASSES` or more (a whole scan, a sample) warms itself up, and can take minutes: one call before the
    samples, and three of them at least.
    """
    usual = CUDA if device == "cuda" else CPU
    return usual if passes < MANY_PASSES else replace(usual, min_warmup=1, floor_samples=3)


@dataclass(frozen=True)
class Samples:
    """Raw durations in seconds, in the order they were taken.

    Attributes:
        durations_s: every one that was taken.
        converged: whether the interval became narrow enough before the budget was spent.
        unsteady: whether the level moved while sampling, by more than the criterion and the interval allow.
    """

    durations_s: tuple[float, ...]
    converged: bool
    unsteady: bool = False

    def interval(self) -> MedianInterval:
        """Median and 95% interval in seconds, widened for correlation between neighbours."""
        return robust_interval(self.durations_s)


def robust_interval(durations_s: tuple[float, ...] | list[float]) -> MedianInterval:
    """The order-statistic interval of the median for as many independent samples as the series is worth."""
    return median_interval(durations_s, effective=effective_size(durations_s))


def warm_up(timed_call: Callable[[], float], criterion: Criterion, budget_s: float) -> int:
    """Call until the durations are steady, at least `min_warmup` and at most `max_warmup` times.

    Steady: the medians of the last two windows agree and no trend runs through them, twice in a row. Windows grow
    with the calls made, so that a slow ramp cannot pass for a level by being slow.

    Args:
        timed_call: runs one iteration and returns its duration in seconds.
        budget_s: time budget of the case; warm-up takes at most its `warmup_share` beyond the minimum.

    Returns:
        The number of calls made.
    """
    durations: list[float] = []
    begin = perf_counter()
    steady_looks = 0
    while len(durations) < criterion.max_warmup or perf_counter() - begin < criterion.min_warmup_s:
        durations.append(timed_call())
        elapsed = perf_counter() - begin
        if len(durations) < criterion.min_warmup or elapsed < criterion.min_warmup_s:
            continue
        if elapsed >= criterion.warmup_share * budget_s:
            break
        steady_looks = steady_looks + 1 if _is_steady(durations, criterion) else 0
        if steady_looks >= criterion.warmup_looks:
            break
    return len(durations)


def _is_steady(durations: list[float], criterion: Criterion) -> bool:
    window = max(criterion.min_window, min(len(durations), criterion.max_warmup) // 3)
    if len(durations) < 2 * window:
        return False
    recent = durations[-2 * window :]
    before, last = median(recent[:window]), median(recent[window:])
    agree = abs(last - before) <= criterion.warmup_agreement * before
    return agree and abs(trend(recent)) <= criterion.warmup_trend


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
        enough = count >= criterion.min_samples and effective_size(durations) >= criterion.min_effective
        width = robust_interval(durations).relative_half_width
        converged = enough and width <= criterion.half_width
        if at_end or converged:
            moved = abs(level_change(durations)) > 2 * max(criterion.half_width, width)
            return Samples(tuple(durations), converged, moved)
        next_check = next(checks)


def _check_points(criterion: Criterion) -> Iterator[int]:
    """Sample sizes at which stopping is considered: growing by 20%, since each look is a chance to stop too early."""
    size = criterion.min_samples
    while True:
        yield size
        size = max(size + 1, int(size * 1.2))
