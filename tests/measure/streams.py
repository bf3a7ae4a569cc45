"""Synthetic duration streams with a known true median."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

LENGTH = 520  # beyond the most samples that the CPU criterion takes
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """`draw(rng)` gives LENGTH durations; `true_median(n)` is that of the distribution of the first n together."""

    draw: Callable[[np.random.Generator], Values]
    true_median: Callable[[int], float]


def _around(level: Values, spread: float) -> Stream:
    """Lognormal noise around a level that may move: the true median is that of the mixture."""

    def mixture_median(n: int) -> float:
        return float(brentq(lambda x: norm.cdf(np.log(x / level[:n]) / spread).mean() - 0.5, 0.5, 2.0))

    return Stream(lambda rng: level * np.exp(spread * rng.standard_normal(LENGTH)), mixture_median)


def _autoregressive(rho: float, spread: float = 0.03) -> Stream:
    def draw(rng: np.random.Generator) -> Values:
        innovations = spread * np.sqrt(1 - rho**2) * rng.standard_normal(LENGTH)
        logs = np.empty(LENGTH)
        logs[0] = spread * rng.standard_normal()
        for index in range(1, LENGTH):
            logs[index] = rho * logs[index - 1] + innovations[index]
        return np.exp(logs)

    return Stream(draw, lambda n: 1.0)


def _bimodal(share: float = 0.35, apart: float = 1.08, spread: float = 0.01) -> Stream:
    def draw(rng: np.random.Generator) -> Values:
        level = np.where(rng.random(LENGTH) < share, apart, 1.0)
        return level * np.exp(spread * rng.standard_normal(LENGTH))

    def mass_below(x: float) -> float:
        parts = (1 - share) * norm.cdf(np.log(x) / spread) + share * norm.cdf(np.log(x / apart) / spread)
        return float(parts) - 0.5

    median = float(brentq(mass_below, 0.9, 1.2))
    return Stream(draw, lambda n: median)


def _heavy_tail(share: float = 0.1, index: float = 1.5) -> Stream:
    """One sided noise, a tenth of it stretched by a Pareto variable without a variance."""

    def draw(rng: np.random.Generator, size: int = LENGTH) -> Values:
        values = np.exp(0.02 * np.abs(rng.standard_normal(size)))
        stretched = rng.random(size) < share
        values[stretched] *= 1 + rng.pareto(index, int(stretched.sum()))
        return values

    median = float(np.median(draw(np.random.default_rng(0), 4_000_000)))
    return Stream(draw, lambda n: median)


_STEPS = np.arange(LENGTH)
STREAMS: dict[str, Callable[[], Stream]] = {
    "independent": lambda: _around(np.ones(LENGTH), 0.03),
    "drift": lambda: _around(np.linspace(1.0, 1.3, LENGTH), 0.02),
    "throttling early": lambda: _around(np.where(_STEPS < 8, 1.0, 1.15), 0.02),
    "throttling late": lambda: _around(np.where(_STEPS < 40, 1.0, 1.15), 0.04),
    "bimodal": _bimodal,
    "AR(1) 0.6": lambda: _autoregressive(0.6),
    "AR(1) 0.8": lambda: _autoregressive(0.8),
    "heavy tail": _heavy_tail,
}
