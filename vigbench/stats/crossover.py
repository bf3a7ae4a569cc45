"""Where one growing quantity falls below another and stays there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from vigbench.stats.growth_law import DRAWS, PREDICTION_FROM, GrowthLaw, evaluate, sorted_points
from vigbench.stats.nonnegative import Array

REACH = 16.0  # times the largest common size: how far laws are followed
GRID = 129  # sizes between the largest common one and REACH times it
AGREED = 0.9  # share of draws from which a crossing of laws is reported
LEVEL_FROM = 0.05  # p-value of the differences from which the two are level

Points = tuple[Sequence[float], Sequence[float], Sequence[float]]  # sizes, values, relative standard errors


class Kind(StrEnum):
    """What is known of the size from which the first stays below the second."""

    measured = "measured"  # it lies between two sizes that both were measured at
    extrapolated = "extrapolated"  # the fitted laws cross beyond the largest such size
    always = "always"  # the first is below at every such size
    never = "never"  # at the largest such size it is not below, and the laws do not cross within reach
    level = "level"  # the noise explains all differences


@dataclass(frozen=True)
class Crossover:
    """The answer.

    Attributes:
        kind: what is known.
        size: from which the first stays below, where `measured` or `extrapolated`.
        low, high: its 95% interval; None where the interval is open on that side. Of `always`, `high` is given where
            the noise leaves open whether the first is below at the smallest sizes already.
        share: of the draws in which there is such a size (`always`: below throughout; `never`: there is none).
        others: further crossings between measured sizes, in either direction, rising.
        smallest, largest: sizes that both were measured at.
    """

    kind: Kind
    size: float | None
    low: float | None
    high: float | None
    share: float
    others: tuple[float, ...]
    smallest: float
    largest: float


def find_crossover(
    first: Points,
    second: Points,
    laws: tuple[GrowthLaw | None, GrowthLaw | None] = (None, None),
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Crossover | None:
    """Find the size from which the first curve stays below the second.

    Between neighbouring common sizes both are straight in log size and log value, so no law is needed there. The
    interval is that of a parametric bootstrap of the points; a draw in which the first is below throughout counts as
    a crossing below all sizes, one in which it ends above as a crossing beyond them.

    Args:
        first, second: sizes, values and relative standard errors; sizes need not be the same.
        laws: of both; where the curves do not cross, and both have 4 points or more, their crossing beyond is sought.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        None without a common size.

    Raises:
        ValueError: for sizes, values or errors that are not finite or not above 0, or a size given twice.
    """
    (n1, y1, e1), (n2, y2, e2) = sorted_points(*first), sorted_points(*second)
    common, in_first, in_second = np.intersect1d(n1, n2, return_indices=True)
    if not len(common):
        return None
    logs = np.log(common)
    difference = np.log(y1[in_first] / y2[in_second])
    error = np.hypot(e1[in_first], e2[in_second])
    noise = error * np.random.default_rng(seed).standard_normal((draws, len(common)))
    places = stays_below_from(logs, difference + noise)
    place = float(stays_below_from(logs, difference[None])[0])
    rest = tuple(math.exp(change) for change in _sign_changes(logs, difference) if change != place)
    ends = (float(common[0]), float(common[-1]))
    if _is_level(difference / error):
        return Crossover(Kind.level, None, None, None, 1.0, rest, *ends)
    low, high = _interval(places)
    if place == -math.inf:
        return Crossover(Kind.always, None, None, high, float((places == -math.inf).mean()), rest, *ends)
    if place < math.inf:
        return Crossover(Kind.measured, math.exp(place), low, high, float(np.isfinite(places).mean()), rest, *ends)
    beyond = _beyond(laws, ends[1], seed)
    if beyond is not None:
        return Crossover(Kind.extrapolated, *beyond, rest, *ends)
    return Crossover(Kind.never, None, None, None, float((places == math.inf).mean()), rest, *ends)


def stays_below_from(positions: Array, differences: Array) -> Array:
    """From where on each series of differences stays below zero, straight between the positions.

    Args:
        positions: (points,), rising.
        differences: (series, points).

    Returns:
        (series,): -inf where it is below at all positions, inf where it is not below at the last.
    """
    points = len(positions)
    above = differences >= 0
    last = np.where(above.any(axis=1), points - 1 - above[:, ::-1].argmax(axis=1), -1)
    left = np.clip(last, 0, max(points - 2, 0))
    right = np.minimum(left + 1, points - 1)
    rows = np.arange(len(differences))
    at_left, at_right = differences[rows, left], differences[rows, right]
    inside = (last >= 0) & (last < points - 1)
    share = np.divide(at_left, at_left - at_right, out=np.zeros_like(at_left), where=inside)
    crossing = positions[left] + share * (positions[right] - positions[left])
    found: Array = np.where(inside, crossing, np.where(last < 0, -math.inf, math.inf))
    return found


def crossing_of_laws(first: Array, second: Array, beyond: float) -> float | None:
    """The largest size above `beyond` where two laws (constant, linear, quadratic) meet, the first below from there."""
    roots = np.roots(np.trim_zeros((first - second)[::-1], "f"))
    sizes = sorted(float(root.real) for root in roots if abs(root.imag) <= 1e-9 * abs(root) and root.real > beyond)
    if not sizes:
        return None
    after = np.asarray([2 * sizes[-1]])
    return sizes[-1] if evaluate(first, after)[0] < evaluate(second, after)[0] else None


def _beyond(
    laws: tuple[GrowthLaw | None, GrowthLaw | None], largest: float, seed: int
) -> tuple[float, float | None, float | None, float] | None:
    """Size, low, high and share of draws of a crossing by the laws, within REACH of the largest common size.

    None too where fewer than AGREED of the draws have one.
    """
    first, second = laws
    if first is None or second is None or min(len(first.sizes), len(second.sizes)) < PREDICTION_FROM:
        return None
    size = crossing_of_laws(first.coefficients, second.coefficients, largest)
    if size is None or size > REACH * largest:
        return None
    grid = np.geomspace(largest, REACH * largest, GRID)
    # two laws fitted with the same seed share their noise: another order makes the draws independent
    order = np.random.default_rng(seed + 1).permutation(len(second.drawn))
    first_logs, second_logs = first.drawn_logs(grid, seed=seed + 2), second.drawn_logs(grid, seed=seed + 3)[order]
    count = min(len(first_logs), len(second_logs))
    places = stays_below_from(np.log(grid), first_logs[:count] - second_logs[:count])
    share = float((places < math.inf).mean())
    low, high = _interval(places)
    return (size, max(low or largest, largest), high, share) if share >= AGREED else None


def _interval(places: Array) -> tuple[float | None, float | None]:
    ends = [float(end) for end in np.quantile(places, (0.025, 0.975), method="inverted_cdf")]
    low, high = (math.exp(end) if math.isfinite(end) else None for end in ends)
    return low, high


def _sign_changes(positions: Array, difference: Array) -> list[float]:
    below = difference < 0
    changes = np.flatnonzero(below[1:] != below[:-1])
    share = difference[changes] / (difference[changes] - difference[changes + 1])
    return [float(change) for change in positions[changes] + share * (positions[changes + 1] - positions[changes])]


def _is_level(standardised: Array) -> bool:
    from scipy.special import chdtrc  # scipy.stats would take a second to import

    return float(chdtrc(len(standardised), float((standardised**2).sum()))) >= LEVEL_FROM
