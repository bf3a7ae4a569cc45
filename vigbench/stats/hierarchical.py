"""Estimates from samples in processes: what varies from process to process is part of the uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEEN_FROM = 3  # processes; with fewer, their spread cannot be told from the samples
# Standard deviation of the log duration between processes that is assumed where it cannot be seen.
UNSEEN_SPREAD = {"cpu": 0.05, "cuda": 0.01}


@dataclass(frozen=True)
class Estimate:
    """A location on the logarithmic scale.

    Attributes:
        value: mean over processes of the median within each.
        standard_error: of the value.
        degrees: of freedom of the standard error; infinite where it is assumed rather than estimated.
    """

    value: float
    standard_error: float
    degrees: float

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference of two independent estimates (Welch 1947 for the degrees of freedom)."""
        variances = self.standard_error**2, other.standard_error**2
        total = sum(variances)
        parts = sum(v**2 / side.degrees for v, side in zip(variances, (self, other), strict=True))
        degrees = total**2 / parts if parts > 0 else math.inf
        return Estimate(self.value - other.value, math.sqrt(total), degrees)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's interval of the value."""
        from scipy.special import stdtrit

        # scipy has no quantile for infinite degrees; at a million it is the normal one to 6 digits
        half = float(stdtrit(min(self.degrees, 1e6), (1 + confidence) / 2)) * self.standard_error
        return self.value - half, self.value + half

    def p_above(self, limit: float) -> float:
        """One-sided p-value of the statement that the true value is above `limit`."""
        from scipy.special import stdtr

        if self.standard_error == 0:
            return 0.0 if self.value > limit else 1.0
        return float(stdtr(min(self.degrees, 1e6), (limit - self.value) / self.standard_error))


def estimate(groups: Sequence[Sequence[float]], unseen_spread: float, seed: int = 0) -> Estimate:
    """Estimate the location of samples that come from several processes.

    The standard error is that of a hierarchical bootstrap: processes are drawn with replacement, then blocks of
    consecutive samples within each (Davison and Hinkley, Bootstrap Methods, section 3.8; Kuensch 1989 for blocks,
    since neighbours are correlated). It is enlarged by sqrt(P / (P - 1)) and comes with P - 1 degrees of freedom,
    without which a bootstrap of few processes covers too little (Hesterberg 2015).

    Args:
        groups: for each process, logarithms of durations or of ratios, in the order taken; no group is empty.
        unseen_spread: standard deviation between processes, assumed where fewer than 3 are there to show it.
        seed: of the resampling.

    Raises:
        ValueError: without samples.
    """
    if not groups or not all(len(group) for group in groups):
        raise ValueError("An estimate needs at least one sample from each process.")
    arrays = [np.asarray(group, dtype=np.float64) for group in groups]
    value = location(arrays)
    rng = np.random.default_rng(seed)
    count = len(arrays)
    medians = np.stack([_resampled_medians(group, rng) for group in arrays])  # (process, resample)
    if count < SEEN_FROM:
        within = float(np.sqrt((medians.var(axis=1, ddof=1) / count**2).sum()))
        return Estimate(value, math.hypot(within, unseen_spread / math.sqrt(count)), math.inf)
    drawn = rng.integers(count, size=(count, RESAMPLES))
    which = rng.integers(RESAMPLES, size=(count, RESAMPLES))  # a process that is drawn twice is resampled twice
    spread = float(medians[drawn, which].mean(axis=0).std(ddof=1))
    return Estimate(value, spread * math.sqrt(count / (count - 1)), count - 1)


def location(groups: Sequence[NDArray[np.float64]]) -> float:
    """Mean over processes of the median within each: the value of `estimate`, without its uncertainty."""
    return float(np.mean([np.median(group) for group in groups]))


def _resampled_medians(samples: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Medians of RESAMPLES series made of blocks of consecutive samples."""
    size = len(samples)
    length = max(1, round(size ** (1 / 3)))
    blocks = math.ceil(size / length)
    starts = rng.integers(size - length + 1, size=(RESAMPLES, blocks, 1))
    indices = (starts + np.arange(length)).reshape(RESAMPLES, -1)[:, :size]
    medians: NDArray[np.float64] = np.median(samples[indices], axis=1)
    return medians
