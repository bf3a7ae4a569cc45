"""Least squares with coefficients that are not negative, exact, for many draws of the same few points at once."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TERMS = 3  # constant, linear, quadratic
# the sets of terms that may be above zero, the whole one first
SUBSETS = [np.array(terms) for size in (3, 2, 1) for terms in combinations(range(TERMS), size)]
ROUNDING = 1e-15  # keeps two sizes that are almost the same from dividing by zero
NOTHING = 1e-12  # a term of this share of the largest is rounding


def fit_nonnegative(sizes: Array, values: Array, errors: Array) -> Array:
    """Fit y(N) = a + b N + c N^2 with a, b, c >= 0 to each draw, by least squares of relative residuals / errors.

    The optimum is the unconstrained solution on the set of terms that it uses, and no feasible solution on another set
    is better (Lawson and Hanson, Solving Least Squares Problems, chapter 23): 3 terms have 7 sets, and all are tried.

    Args:
        sizes: (points,), above 0, at least three different ones.
        values: (draws, points), above 0.
        errors: (points,), relative standard errors, above 0.

    Returns:
        (draws, 3): constant, linear and quadratic coefficient.
    """
    gram, aim, unit = _normal_equations(sizes, values, errors)
    found = np.zeros_like(aim)
    squares = np.full(len(aim), np.inf)
    columns = (sizes[:, None] ** np.arange(TERMS)).T  # (term, point)
    left = np.arange(len(aim))
    for subset in SUBSETS:
        rows = gram[left] if len(subset) == TERMS else gram[np.ix_(left, subset, subset)]
        right = aim[np.ix_(left, subset)]
        solution = np.linalg.solve(rows, right[:, :, None])[:, :, 0]
        residuals = ((solution * unit[np.ix_(left, subset)]) @ columns[subset] / values[left] - 1) / errors
        reached = (residuals**2).sum(axis=1)
        feasible = (solution >= 0).all(axis=1)
        better = feasible & (reached < squares[left])
        squares[left[better]] = reached[better]
        found[left[better]] = 0
        found[np.ix_(left[better], subset)] = solution[better]
        if len(subset) == TERMS:
            left = left[~feasible]  # elsewhere the unconstrained optimum is allowed
    found[found < NOTHING * found.max(axis=1, keepdims=True)] = 0
    coefficients: Array = found * unit
    return coefficients


def fit_free(sizes: Array, values: Array, errors: Array) -> Array:
    """The same fit where coefficients may be negative."""
    gram, aim, unit = _normal_equations(sizes, values, errors)
    coefficients: Array = np.linalg.solve(gram, aim[:, :, None])[:, :, 0] * unit
    return coefficients


def _normal_equations(sizes: Array, values: Array, errors: Array) -> tuple[Array, Array, Array]:
    """Matrices (draws, 3, 3) and right sides (draws, 3) for columns of length 1, and the coefficients' unit then."""
    largest = float(sizes.max())
    share = sizes / largest
    basis = np.stack([np.ones_like(share), share, share**2], axis=1)  # (points, term)
    weights = 1 / (values * errors)  # (draws, points)
    products = (basis[:, :, None] * basis[:, None, :]).reshape(len(sizes), -1)
    gram = (weights**2 @ products).reshape(-1, TERMS, TERMS)
    lengths = np.sqrt(np.einsum("dii->di", gram))
    gram = gram / (lengths[:, :, None] * lengths[:, None, :]) + ROUNDING * np.eye(TERMS)
    return gram, (weights / errors) @ basis / lengths, 1 / lengths / largest ** np.arange(TERMS)
