"""A share with its interval: how many of so many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True)
class ShareInterval:
    """A share with its confidence interval, 0 to 1."""

    share: float
    low: float
    high: float


@lru_cache(maxsize=64)
def _quantile(confidence: float) -> float:
    """What a standard normal variable exceeds in absolute value with probability 1 - confidence."""
    if not 0 < confidence < 1:
        raise ValueError(f"A confidence of {confidence} is not between 0 and 1.")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> ShareInterval:
    """The share and Wilson's score interval, without correction for continuity.

    It holds every share p that a two-sided score test would not reject; unlike the share plus and minus its standard
    error it stays within 0 and 1 and is no single point at either end (Wilson 1927; Brown, Cai and DasGupta 2001).

    Args:
        successes: 0 to `trials`.
        trials: independent ones, at least 1.
        confidence: of the interval.

    Raises:
        ValueError: for numbers outside these ranges.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share: give at least one trial, and no more successes.")
    z = _quantile(confidence)
    share, weight = successes / trials, z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    half = z * sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    # at 0 and all the interval ends there exactly; rounding must not put it past the share itself
    low = 0.0 if successes == 0 else min(share, centre - half)
    high = 1.0 if successes == trials else max(share, centre + half)
    return ShareInterval(share, low, high)
