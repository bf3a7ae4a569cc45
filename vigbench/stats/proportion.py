"""A share with its interval: how many of so many."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShareInterval:
    """A share with its confidence interval, 0 to 1."""

    share: float
    low: float
    high: float


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
    if not 0 < confidence < 1:
        raise ValueError(f"A confidence of {confidence} is not between 0 and 1.")
    from scipy.stats import binomtest  # a second to import, for one number at the end of an evaluation

    share = successes / trials
    found = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return ShareInterval(share, min(share, float(found.low)), max(share, float(found.high)))  # whatever was rounded
