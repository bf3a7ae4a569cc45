import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.stats.order import MIN_SAMPLES_FOR_PERCENTILE, count_outliers, median_interval, median_ranks, percentile

samples = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200)


@pytest.mark.parametrize(("n", "ranks"), [(5, None), (6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (100, (40, 61))])
def test_ranks_match_the_published_table(n: int, ranks: tuple[int, int] | None) -> None:
    # Conover, Practical Nonparametric Statistics, table A3 (p = 1/2, 95%)
    assert median_ranks(n) == ranks


@given(samples)
def test_interval_encloses_the_median_and_lies_within_the_samples(values: list[float]) -> None:
    interval = median_interval(values)
    assert min(values) <= interval.low <= interval.median <= interval.high <= max(values)


@given(samples, st.floats(0.1, 10))
def test_interval_scales_with_the_unit(values: list[float], factor: float) -> None:
    interval, scaled = median_interval(values), median_interval([factor * one for one in values])
    assert scaled.low == pytest.approx(factor * interval.low)
    assert scaled.high == pytest.approx(factor * interval.high)


@pytest.mark.parametrize("n", [10, 31, 100])
def test_interval_covers_the_true_median_of_a_skewed_distribution(n: int) -> None:
    rng = random.Random(n)
    trials = 2000
    hits = 0
    for _ in range(trials):
        interval = median_interval([rng.lognormvariate(0, 1) for _ in range(n)])
        hits += interval.low <= 1 <= interval.high
    assert hits / trials >= 0.94


def test_no_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        median_interval([])


@pytest.mark.parametrize("percent", sorted(MIN_SAMPLES_FOR_PERCENTILE))
def test_percentile_only_where_the_largest_sample_lies_above_it_with_95_percent(percent: int) -> None:
    least = MIN_SAMPLES_FOR_PERCENTILE[percent]
    assert (percent / 100) ** least < 0.05 <= (percent / 100) ** (least - 1)
    assert percentile([1.0] * (least - 1), percent) is None
    values = list(range(least))
    found = percentile(values, percent)
    assert found is not None
    assert sum(value <= found for value in values) / least >= percent / 100


def test_far_outliers_are_counted_and_near_ones_are_not() -> None:
    steady = [100.0 + index % 5 for index in range(50)]
    assert count_outliers(steady) == 0
    assert count_outliers([*steady, 1000.0, 0.001]) == 2
    assert count_outliers([1.0, 1e9]) == 0, "too few samples to call anything an outlier"


def test_half_width_is_infinite_for_a_median_of_zero() -> None:
    assert math.isinf(median_interval([0.0, 0.0]).relative_half_width)
