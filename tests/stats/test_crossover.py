"""Curves whose crossings are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.stats.crossover import Kind, crossing_of_laws, find_crossover, stays_below_from
from vigbench.stats.growth_law import evaluate, fit_growth

SIZES = np.array([200.0, 600, 1000, 2300, 4100])


def points(values, error: float = 0.01, sizes=SIZES):
    return list(sizes), list(values), [error] * len(sizes)


@given(a=st.floats(0.5, 5), b=st.floats(1e-3, 1e-2), c=st.floats(1e-7, 1e-5))
def test_the_crossing_of_two_laws_is_the_root_of_the_quadratic(a: float, b: float, c: float) -> None:
    # (10 a + b N) - (a + b/2 N + c N^2) = 0
    root = (b / 2 + math.sqrt(b * b / 4 + 4 * c * 9 * a)) / (2 * c)
    linear, quadratic = np.array([10 * a, b, 0]), np.array([a, b / 2, c])
    assert crossing_of_laws(linear, quadratic, 1.0) == pytest.approx(root, rel=1e-9)
    assert crossing_of_laws(quadratic, linear, 1.0) is None
    assert crossing_of_laws(linear, quadratic, 1.01 * root) is None
    assert crossing_of_laws(linear, linear, 1.0) is None


@given(st.floats(210, 4000), st.floats(0.3, 2.5), st.floats(0.05, 1.5))
def test_between_points_power_laws_cross_exactly(place: float, exponent: float, more: float) -> None:
    first, second = (SIZES / place) ** exponent, (SIZES / place) ** (exponent + more)
    found = find_crossover(points(first, 1e-4), points(second, 1e-4))
    assert found is not None
    assert found.kind == Kind.measured
    assert found.size == pytest.approx(place, rel=1e-9)
    back = find_crossover(points(second, 1e-4), points(first, 1e-4))
    assert back is not None
    assert back.kind == Kind.never
    assert back.others == pytest.approx([place])


def test_always_never_and_level() -> None:
    low, high = points(SIZES), points(1.5 * SIZES)
    kinds = [
        find_crossover(*pair).kind for pair in ((low, high), (high, low), (low, low), (low, points(1.001 * SIZES)))
    ]
    assert kinds == [Kind.always, Kind.never, Kind.level, Kind.level]
    assert find_crossover(low, high).share == 1
    assert find_crossover(low, high).high is None


def test_a_start_within_the_noise_leaves_the_interval_open_below() -> None:
    ratio = np.array([1.005, 1.2, 1.4, 1.8, 2.0])
    found = find_crossover(points(SIZES), points(ratio * SIZES))
    assert found.kind == Kind.always
    assert found.share < 0.9
    assert 200 < found.high < 300
    crossed = find_crossover(points(SIZES), points(ratio * 0.994 * SIZES))
    assert crossed.kind == Kind.measured
    assert crossed.low is None
    assert 200 < crossed.size < crossed.high < 300


def test_an_end_within_the_noise_leaves_the_interval_open_above() -> None:
    ratio = np.array([0.5, 0.6, 0.7, 0.8, 1.005])
    found = find_crossover(points(SIZES), points(ratio * SIZES))
    assert found.kind == Kind.measured
    assert found.high is None
    assert 2300 < found.low < found.size < 4100
    assert 0.3 < found.share < 0.9


def test_of_several_crossings_the_last_is_the_answer_and_all_are_told() -> None:
    ratio = np.array([0.5, 2.0, 0.5, 0.5, 2.0])  # second over first
    found = find_crossover(points(SIZES), points(ratio * SIZES))
    assert found.size == pytest.approx(math.sqrt(2300 * 4100))
    assert found.others == pytest.approx([math.sqrt(200 * 600), math.sqrt(600 * 1000)])


def test_only_common_sizes_count() -> None:
    truth = 1000.0
    first, second = SIZES / truth, (SIZES / truth) ** 2
    found = find_crossover(points(first[[0, 1, 3, 4]], sizes=SIZES[[0, 1, 3, 4]]), points(second[:4], sizes=SIZES[:4]))
    assert (found.smallest, found.largest) == (200, 2300)
    assert found.size == pytest.approx(truth)
    assert find_crossover(points(first[:2], sizes=SIZES[:2]), points(second[2:], sizes=SIZES[2:])) is None
    one = find_crossover(points(first[:1], sizes=SIZES[:1]), points(second[:1], sizes=SIZES[:1]))
    assert one.kind == Kind.never
    assert find_crossover(points(second[:1], sizes=SIZES[:1]), points(first[:1], sizes=SIZES[:1])).kind == Kind.always


def extrapolated(first, second, error: float = 0.005):
    sides = [points(evaluate(np.array(one), SIZES), error) for one in (first, second)]
    return find_crossover(*sides, tuple(fit_growth(*one) for one in sides))


def test_beyond_the_points_the_laws_decide_and_it_is_marked() -> None:
    found = extrapolated((5, 0.1, 0), (5, 0.02, 1e-5))
    assert found.kind == Kind.extrapolated
    assert found.size == pytest.approx(8000, rel=1e-6)
    assert 4100 <= found.low < 8000 < found.high
    assert extrapolated((5, 0.02, 1e-5), (5, 0.1, 0)).kind == Kind.always
    assert extrapolated((5, 0.1, 0), (5, 0.02, 0)).kind == Kind.never
    far = extrapolated((5, 0.1, 0), (5, 0.02, 1e-6))  # 80,000: further than 16 times the largest size
    assert far.kind == Kind.never
    assert far.size is None


def test_laws_of_three_points_or_a_crossing_lost_in_noise_extrapolate_nothing() -> None:
    values = [evaluate(np.array(one), SIZES) for one in ((5, 0.1, 0), (5, 0.02, 1e-5))]
    few = [points(one[:3], 0.005, SIZES[:3]) for one in values]
    assert find_crossover(*few, tuple(fit_growth(*one) for one in few)).kind == Kind.never
    assert extrapolated((5, 0.1, 0), (5, 0.08, 5e-7), error=0.05).kind in (Kind.never, Kind.level)


@pytest.mark.slow
@pytest.mark.parametrize("error", [0.01, 0.03])
def test_intervals_hold_the_crossing(error: float) -> None:
    rng, held, count = np.random.default_rng(3), 0, 400
    truth, first = 1500.0, SIZES / 1500
    for _ in range(count):
        noise = np.exp(error * rng.standard_normal((2, len(SIZES))))
        found = find_crossover(points(first * noise[0], error), points(first**1.6 * noise[1], error))
        assert found.kind == Kind.measured
        held += (found.low or 0) <= truth <= (found.high or math.inf)
    assert held >= 0.93 * count


@pytest.mark.slow
def test_extrapolated_intervals_hold_the_crossing() -> None:
    rng, held, told, truth = np.random.default_rng(4), 0, 0, 8000.0
    one, two = (evaluate(np.array(law), SIZES) for law in ((5, 0.1, 0), (5, 0.02, 1e-5)))
    for _ in range(300):
        noise = np.exp(0.01 * rng.standard_normal((2, len(SIZES))))
        sides = points(one * noise[0]), points(two * noise[1])
        found = find_crossover(*sides, (fit_growth(*sides[0]), fit_growth(*sides[1])))
        if found.kind == Kind.extrapolated:
            told += 1
            held += found.low <= truth <= (found.high or math.inf)
    assert told >= 200
    assert held >= 0.93 * told


@given(st.lists(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0]), min_size=4, max_size=4), min_size=1, max_size=5))
def test_the_vectorised_search_is_the_plain_one(series: list[list[float]]) -> None:
    positions = np.array([0.0, 1.0, 3.0, 4.0])

    def plain(one: list[float]) -> float:
        if one[-1] >= 0:
            return math.inf
        last = max((index for index, value in enumerate(one) if value >= 0), default=None)
        if last is None:
            return -math.inf
        return positions[last] + one[last] / (one[last] - one[last + 1]) * (positions[last + 1] - positions[last])

    assert list(stays_below_from(positions, np.array(series))) == pytest.approx([plain(one) for one in series])


def test_points_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="finite and above 0"):
        find_crossover(points(SIZES), points(-SIZES))
