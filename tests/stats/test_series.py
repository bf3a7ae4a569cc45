import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.stats.series import effective_size, level_change, trend

series = st.lists(st.floats(1e-3, 1e3), min_size=6, max_size=100)


@given(series)
def test_effective_size_lies_between_none_and_all(values: list[float]) -> None:
    assert 0 < effective_size(values) <= len(values)


def test_correlated_samples_are_worth_less() -> None:
    rng = random.Random(0)
    independent = [rng.gauss(0, 1) for _ in range(400)]
    correlated = [0.0]
    for one in independent:
        correlated.append(0.8 * correlated[-1] + one)
    assert effective_size(independent) > 300
    assert effective_size(correlated) == pytest.approx(400 * 0.2 / 1.8, rel=0.5)


def test_equal_samples_are_not_called_correlated() -> None:
    assert effective_size([1.0] * 20) == 20


@given(series)
def test_a_trend_turns_its_sign_with_the_order(values: list[float]) -> None:
    assert trend(values[::-1]) == pytest.approx(-trend(values))


def test_trends_and_level_changes_of_known_series() -> None:
    assert trend([1, 2, 3, 4]) == pytest.approx(1)
    assert trend([2.0] * 5) == 0
    assert level_change([1, 1, 1, 1, 1.5, 1.5]) == pytest.approx(0.5)
    assert level_change([1, 2, 3]) == 0


def test_against_scipy() -> None:
    from scipy.stats import kendalltau

    rng = random.Random(1)
    values = [rng.random() for _ in range(30)]
    assert trend(values) == pytest.approx(kendalltau(range(30), values).statistic)
