"""From an estimated ratio to a word that one may rely on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from vigbench.stats.hierarchical import Estimate

DEFAULT_MARGIN = 0.03  # a difference that is worth a word
FAMILY_ERROR = 0.05  # probability of any false FASTER or SLOWER in a whole comparison


class Verdict(StrEnum):
    """Of head against base; FASTER and SLOWER by more than the margin."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    INCONCLUSIVE = "INCONCLUSIVE"


def p_of_difference(log_ratio: Estimate, margin: float) -> float:
    """Two-sided p-value of the statement that the ratio lies outside [1 / (1 + margin), 1 + margin]."""
    limit = math.log1p(margin)
    mirrored = Estimate(-log_ratio.value, log_ratio.standard_error, log_ratio.degrees)
    return min(1.0, 2 * min(log_ratio.p_above(limit), mirrored.p_above(limit)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the order given (Holm 1979): compare them with the family's error."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def judge(log_ratio: Estimate, p_adjusted: float, margin: float) -> Verdict:
    """The verdict on head / base.

    FASTER or SLOWER: significantly outside the margin, after adjustment. SAME: the whole 95% interval inside it.
    """
    if p_adjusted < FAMILY_ERROR:
        return Verdict.SLOWER if log_ratio.value > 0 else Verdict.FASTER
    limit = math.log1p(margin)
    low, high = log_ratio.interval()
    return Verdict.SAME if -limit <= low and high <= limit else Verdict.INCONCLUSIVE
