"""Order statistics: the median, its distribution-free interval, percentiles, outliers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median, quantiles

# Below these sample sizes the percentile lies above the largest observation with probability > 5%: 0.9^29 < 0.05.
MIN_SAMPLES_FOR_PERCENTILE = {90: 29, 95: 59, 99: 299}


@dataclass(frozen=True)
class MedianInterval:
    """A median with its confidence interval, in the unit of the samples."""

    median: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        """Half of the interval's width over the median; infinite where the median is not positive."""
        return (self.high - self.low) / 2 / self.median if self.median > 0 else math.inf


@lru_cache(maxsize=4096)
def median_ranks(n: int, confidence: float = 0.95) -> tuple[int, int] | None:
    """Ranks (1-based) of the two order statistics that enclose the median with at least `confidence`.

    The number of samples below the true median is Binomial(n, 1/2) whatever their distribution
    (David and Nagaraja, Order Statistics, section 7.1). None where even (min, max) is not wide enough: n < 6 at 95%.
    """
    tail = 0.0
    rank = 0
    while rank < n // 2:
        tail += math.comb(n, rank) / 2**n
        if 2 * tail > 1 - confidence:
            break
        rank += 1
    return (rank, n + 1 - rank) if rank >= 1 else None


def median_interval(
    samples: Sequence[float], confidence: float = 0.95, effective: float | None = None
) -> MedianInterval:
    """Median and its order-statistic interval; with fewer than 6 samples the interval is their whole range.

    Args:
        samples: any order.
        confidence: of the interval.
        effective: how many independent samples they are worth; the interval is as wide, in ranks, as one of that many.

    Raises:
        ValueError: without samples.
    """
    if not samples:
        raise ValueError("No samples: a median needs at least one.")
    ordered = sorted(samples)
    n = len(ordered)
    independent = n if effective is None else max(1, min(n, int(effective)))
    ranks = median_ranks(independent, confidence)
    outside = 0 if ranks is None else (ranks[0] - 1) * n // independent  # samples left out at either end
    return MedianInterval(median(ordered), ordered[outside], ordered[n - 1 - outside])


def percentile(samples: Sequence[float], percent: int) -> float | None:
    """The percentile (nearest rank), or None where there are too few samples to state it."""
    if len(samples) < MIN_SAMPLES_FOR_PERCENTILE[percent]:
        return None
    return sorted(samples)[math.ceil(percent / 100 * len(samples)) - 1]


def count_outliers(samples: Sequence[float]) -> int:
    """How many samples lie outside the far Tukey fences (3 interquartile ranges); they are kept, only counted."""
    if len(samples) < 4:
        return 0
    first, _, third = quantiles(samples, n=4, method="inclusive")
    spread = 3 * (third - first)
    return sum(not first - spread <= sample <= third + spread for sample in samples)
