import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.stats.hierarchical import Estimate
from vigbench.stats.verdict import FAMILY_ERROR, Verdict, holm, judge, p_of_difference

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def verdict(ratio: float, error: float, margin: float = 0.03, degrees: float = 5) -> Verdict:
    found = Estimate(math.log(ratio), error, degrees)
    return judge(found, p_of_difference(found, margin), margin)


def test_verdicts_follow_ratio_error_and_margin() -> None:
    assert verdict(1.10, 0.01) is Verdict.SLOWER
    assert verdict(0.90, 0.01) is Verdict.FASTER
    assert verdict(1.00, 0.005) is Verdict.SAME
    assert verdict(1.02, 0.0) is Verdict.SAME, "different, but by less than the margin"
    assert verdict(1.02, 0.01) is Verdict.INCONCLUSIVE
    assert verdict(1.10, 0.10) is Verdict.INCONCLUSIVE
    assert verdict(1.10, 0.01, margin=0.2) is Verdict.SAME


@given(st.floats(0.5, 2), st.floats(0.001, 0.1))
def test_swapping_the_sides_swaps_the_verdict(ratio: float, error: float) -> None:
    swapped = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    one = verdict(ratio, error)
    assert verdict(1 / ratio, error) is swapped.get(one, one)


def test_holm_against_a_worked_example() -> None:
    # Holm 1979 as in R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(p_values, st.randoms())
def test_holm_keeps_order_never_lowers_and_ignores_the_order_given(values: list[float], rng: random.Random) -> None:
    adjusted = holm(values)
    assert all(one >= raw and one <= 1 for one, raw in zip(adjusted, values, strict=True))
    pairs = sorted(zip(values, adjusted, strict=True))
    assert [one for _, one in pairs] == sorted(one for _, one in pairs)
    order = list(range(len(values)))
    rng.shuffle(order)
    assert holm([values[index] for index in order]) == pytest.approx([adjusted[index] for index in order])


def test_thirty_equal_cases_raise_a_false_alarm_in_few_comparisons() -> None:
    rng = np.random.default_rng(0)
    experiments, alarms = 1000, 0
    for _ in range(experiments):
        # the worst case: every true ratio lies at the margin, standard errors are estimated from 6 processes
        errors = 0.02 * np.sqrt(rng.chisquare(5, 30) / 5)
        ratios = [Estimate(math.log(1.03) + 0.02 * rng.standard_normal(), error, 5) for error in errors]
        alarms += min(holm([p_of_difference(one, 0.03) for one in ratios])) < FAMILY_ERROR
    assert alarms <= 0.06 * experiments
