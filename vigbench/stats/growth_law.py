"""How a positive quantity grows with a size: y(N) = a + b N + c N^2, what the points say about it, what comes next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from vigbench.stats.nonnegative import TERMS, Array, fit_free, fit_nonnegative

DRAWS = 500
NORMAL_95 = 1.96
LAW_FROM = 3  # points
PREDICTION_FROM = 4  # points: one more than coefficients
LEAST_SPAN = 1.5  # of sizes, largest / smallest: closer together they show no growth
MISFIT_BELOW = 0.01  # p-value of the residuals below which the law does not fit
TINY = 1e-300
LEFT_OUT = 2  # largest points that are predicted from the smaller ones


class Bounded(NamedTuple):
    """A value and the ends of its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class GrowthLaw:
    """A fitted law and what is known about its certainty.

    Attributes:
        sizes, values, errors: (points,) each, sizes rising; errors are relative standard errors.
        coefficients: (3,): constant, linear and quadratic.
        noise: (draws, points): on the logarithmic scale, as large as the errors.
        drawn: (draws, 3): coefficients of the values with `scale` times the noise.
        free: (draws, 3): the same of a fit that allows negative ones.
        scale: by which the points scatter more than their errors say, at least 1.
        p_value: of residuals as large as these if the law holds; None where there are as many coefficients as points.
    """

    sizes: Array
    values: Array
    errors: Array
    coefficients: Array
    noise: Array
    drawn: Array
    free: Array
    scale: float
    p_value: float | None

    @property
    def fits(self) -> bool | None:
        """Whether the errors explain the residuals; None where nothing is left to judge it by."""
        return None if self.p_value is None else self.p_value >= MISFIT_BELOW

    @property
    def largest_residual(self) -> float:
        """Largest |law / value - 1|."""
        return float(np.abs(evaluate(self.coefficients, self.sizes) / self.values - 1).max())

    def coefficient(self, term: int) -> Bounded:
        """Coefficient of N^term.

        Near zero the bootstrap of a bounded estimate covers too little (Andrews, Econometrica 68, 2000); so intervals
        of coefficients and exponents enclose those of the free fit too, as far as they are possible.
        """
        free = np.maximum(self.free[:, term], 0)
        return _enclosing(bounded(self.coefficients[term], self.drawn[:, term]), free)

    def at(self, size: float) -> Bounded:
        """The law at a size."""
        where = np.asarray([size], dtype=np.float64)
        free = np.maximum(evaluate(self.free, where)[:, 0], 0)
        return _enclosing(bounded(evaluate(self.coefficients, where)[0], evaluate(self.drawn, where)[:, 0]), free)

    def exponent(self, size: float) -> Bounded:
        """d log y / d log N at a size: 0 where the constant rules, 1 the linear term, 2 the quadratic."""
        powers = size ** np.arange(TERMS)
        terms, drawn, free = (coefficients * powers for coefficients in (self.coefficients, self.drawn, self.free))
        steps = np.arange(TERMS)
        possible = np.clip(free @ steps / np.maximum(free.sum(axis=1), TINY), 0, 2)
        return _enclosing(bounded(terms @ steps / terms.sum(), drawn @ steps / drawn.sum(axis=1)), possible)

    def predict(self, size: float) -> Bounded | None:
        """A further measurement at a size, with a 95% prediction interval; None with fewer than 4 points.

        On the logarithmic scale three spreads add up: that of the law (a parametric bootstrap; Davison and Hinkley,
        Bootstrap Methods, chapter 7), that of a single measurement (the median of the points' errors, times `scale`),
        and beyond the largest size the law's own error, see `misfit_at`. What happens only beyond the largest size, a
        cache that overflows there, no point shows, and no interval holds it.
        """
        if len(self.sizes) < PREDICTION_FROM:
            return None
        value = float(evaluate(self.coefficients, np.asarray([size]))[0])
        own = np.random.default_rng(2).standard_normal(len(self.drawn)) * self.scale * float(np.median(self.errors))
        low, high = np.quantile(self.drawn_logs(np.asarray([size]))[:, 0] + own, (0.025, 0.975))
        return Bounded(value, math.exp(low), math.exp(high))

    def drawn_logs(self, sizes: Array, seed: int = 1) -> Array:
        """Logarithms of what may be the truth: (draws, sizes); the law's own error is one for all sizes of a draw."""
        normal = np.random.default_rng(seed).standard_normal((len(self.drawn), 1))
        logs: Array = np.log(evaluate(self.drawn, sizes)) + self.misfit_at(sizes) * normal
        return logs

    def misfit_at(self, sizes: Array) -> Array:
        """Standard deviation of the law's own error on the logarithmic scale, zero up to the largest size.

        Each of the two largest points is predicted from those below it (evaluation with a rolling origin; Tashman,
        International Journal of Forecasting 16, 2000). Of the squared error e^2 the noise explains its variance over
        the draws; what is left is the law's (as in DerSimonian and Laird 1986). It grows with the distance
        log(N / largest N): in proportion below the distance at which it was seen, with its square above, as what a
        curve leaves out of its expansion does. The larger of the two counts.
        """
        distance = np.log(np.maximum(sizes / self.sizes[-1], 1))
        found: Array = np.zeros_like(distance)
        for error, seen_at in self._errors_beyond:
            share = distance / seen_at
            found = np.maximum(found, error * np.maximum(share, share**2))
        return found

    @cached_property
    def _errors_beyond(self) -> list[tuple[float, float]]:
        """For each left-out point: the error of the law of the smaller ones, and its distance from them."""
        found = []
        values = np.vstack([self.values, self.values * np.exp(self.noise)])
        for last in range(max(LAW_FROM, len(self.sizes) - LEFT_OUT), len(self.sizes)):
            laws = fit_nonnegative(self.sizes[:last], values[:, :last], self.errors[:last])
            errors = np.log(evaluate(laws, self.sizes[last : last + 1])[:, 0] / values[:, last])
            excess = max(0.0, float(errors[0] ** 2 - errors[1:].var()))
            found.append((math.sqrt(excess), math.log(self.sizes[last] / self.sizes[last - 1])))
        return found


def fit_growth(
    sizes: Sequence[float], values: Sequence[float], errors: Sequence[float], *, draws: int = DRAWS, seed: int = 0
) -> GrowthLaw | None:
    """Fit y(N) = a + b N + c N^2 with a, b, c >= 0 by least squares of relative residuals over their errors.

    Intervals are those of a parametric bootstrap on the logarithmic scale. Where the points scatter more than their
    errors say, the errors are enlarged by sqrt(chi^2 / degrees of freedom) (Birge 1932), with one degree for each
    point less one for each coefficient above zero.

    Args:
        sizes: in any order, above 0, each once.
        values: above 0.
        errors: relative standard errors of the values, above 0.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        None for fewer than 3 points, or sizes within a factor of 1.5.

    Raises:
        ValueError: for sizes, values or errors that are not finite or not above 0, or a size given twice.
    """
    n, y, e = sorted_points(sizes, values, errors)
    if len(n) < LAW_FROM or n[-1] < LEAST_SPAN * n[0]:
        return None
    coefficients = fit_nonnegative(n, y[None], e)[0]
    degrees = len(n) - int((coefficients > 0).sum())
    squares = float((((evaluate(coefficients, n) / y - 1) / e) ** 2).sum())
    scale = max(1.0, math.sqrt(squares / degrees)) if degrees else 1.0
    noise = e * np.random.default_rng(seed).standard_normal((draws, len(n)))
    drawn = fit_nonnegative(n, y * np.exp(scale * noise), e)
    free = fit_free(n, y * np.exp(scale * noise), e)
    return GrowthLaw(n, y, e, coefficients, noise, drawn, free, scale, _p_value(squares, degrees))


def exponent_between(sizes: Sequence[float], values: Sequence[float], errors: Sequence[float]) -> Bounded | None:
    """d log y / d log N between the two largest sizes, by no law; None for fewer than two points.

    Raises:
        ValueError: as `fit_growth`.
    """
    n, y, e = sorted_points(sizes, values, errors)
    if len(n) < 2:
        return None
    distance = math.log(n[-1] / n[-2])
    value = math.log(y[-1] / y[-2]) / distance
    half = NORMAL_95 * math.hypot(e[-1], e[-2]) / distance
    return Bounded(value, value - half, value + half)


def evaluate(coefficients: Array, sizes: Array) -> Array:
    """Values of laws (..., 3) at sizes (sizes,): (..., sizes)."""
    values: Array = coefficients @ (sizes[None, :] ** np.arange(TERMS)[:, None])
    return values


def bounded(value: float, draws: Array) -> Bounded:
    """A value with the middle 95% of its draws."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return Bounded(float(value), float(low), float(high))


def sorted_points(
    sizes: Sequence[float], values: Sequence[float], errors: Sequence[float]
) -> tuple[Array, Array, Array]:
    """The points as arrays, sizes rising; ValueError as `fit_growth`."""
    points = [np.asarray(series, dtype=np.float64) for series in (sizes, values, errors)]
    if len({series.shape for series in points}) > 1 or points[0].ndim != 1:
        raise ValueError("Sizes, values and errors must be as many; give one of each for every point.")
    if not all(np.isfinite(series).all() and (series > 0).all() for series in points):
        raise ValueError("Sizes, values and errors must be finite and above 0; leave out what was not measured.")
    order = np.argsort(points[0])
    n, y, e = (series[order] for series in points)
    if (np.diff(n) == 0).any():
        raise ValueError("A size is given more than once; give one value for each.")
    return n, y, e


def _enclosing(interval: Bounded, further: Array) -> Bounded:
    other = bounded(interval.value, further)
    return Bounded(interval.value, min(interval.low, other.low), max(interval.high, other.high))


def _p_value(squares: float, degrees: int) -> float | None:
    from scipy.special import chdtrc  # scipy.stats would take a second to import

    return float(chdtrc(degrees, squares)) if degrees else None
