"""Laws whose coefficients are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from vigbench.stats.growth_law import GrowthLaw, evaluate, exponent_between, fit_growth
from vigbench.stats.nonnegative import fit_nonnegative

SIZES = (np.array([224, 384, 512, 768, 1024]) / 16) ** 2
NEXT = (1536 / 16) ** 2
LAWS = {"constant": (5.0, 0, 0), "linear": (5.0, 0.02, 0), "quadratic": (5.0, 0.02, 1e-5)}
coefficient = st.one_of(st.just(0.0), st.floats(1e-3, 1e3))


def law_of(values: np.ndarray, error: float = 0.01, sizes: np.ndarray = SIZES) -> GrowthLaw:
    law = fit_growth(list(sizes), list(values), [error] * len(sizes))
    assert law is not None
    return law


def replays(error: float, count: int, sizes: np.ndarray = SIZES):
    """Noisy measurements: relative errors of the points, and of one more."""
    rng = np.random.default_rng(7)
    for _ in range(count):
        yield np.exp(error * rng.standard_normal(len(sizes))), math.exp(error * rng.standard_normal())


@given(
    terms=st.tuples(coefficient, coefficient, coefficient).filter(any),
    patches=st.lists(st.integers(8, 256), min_size=3, max_size=8, unique=True).filter(
        lambda found: max(found) >= 2 * min(found)
    ),
)
def test_without_noise_the_coefficients_come_back(terms: tuple[float, ...], patches: list[int]) -> None:
    sizes = np.array(patches, dtype=float) ** 2
    scaled = np.array(terms) / sizes.max() ** np.arange(3)
    values = evaluate(scaled, sizes)
    law = law_of(values, sizes=sizes)
    assert law.coefficients * sizes.max() ** np.arange(3) == pytest.approx(terms, rel=1e-5, abs=1e-6 * max(terms))
    assert evaluate(law.coefficients, sizes) == pytest.approx(values, rel=1e-7)
    assert law.largest_residual < 1e-7
    assert law.fits is not False


@given(seed=st.integers(0, 10**6), points=st.integers(3, 8))
def test_the_fit_of_all_draws_is_that_of_scipy_one_by_one(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.sort(rng.choice(np.arange(4, 260), points, replace=False)).astype(float) ** 2
    values = np.exp(rng.normal(0, 1.0, (6, 1)) + rng.uniform(0, 2.2) * np.log(sizes) + rng.normal(0, 0.3, (6, points)))
    errors = rng.uniform(0.002, 0.2, points)
    found = fit_nonnegative(sizes, values, errors)
    columns = (sizes / sizes.max())[:, None] ** np.arange(3)
    for draw, coefficients in zip(values, found, strict=True):
        expected, norm = nnls(columns / (draw * errors)[:, None], 1 / errors)
        residuals = (evaluate(coefficients, sizes) / draw - 1) / errors
        assert np.linalg.norm(residuals) == pytest.approx(norm, rel=1e-7, abs=1e-8)
        scaled = coefficients * sizes.max() ** np.arange(3)
        assert scaled == pytest.approx(expected, rel=1e-4, abs=1e-4 * expected.max())


@pytest.mark.parametrize(("terms", "exponent"), [((3.0, 0, 0), 0), ((0, 0.5, 0), 1), ((0, 0, 2e-4), 2)])
def test_the_exponent_of_a_single_term_is_its_power(terms: tuple[float, ...], exponent: int) -> None:
    values = evaluate(np.array(terms), SIZES)
    found = law_of(values).exponent(SIZES[-1])
    assert found.value == pytest.approx(exponent, abs=1e-6)
    assert found.low - 1e-9 <= exponent <= found.high + 1e-9
    between = exponent_between(list(SIZES), list(values), [0.01] * 5)
    assert between is not None
    assert between.value == pytest.approx(exponent)


def test_the_exponent_is_the_derivative_of_the_law() -> None:
    law = law_of(evaluate(np.array(LAWS["quadratic"]), SIZES))
    for size in (100.0, 1000.0, 9000.0):
        step = 1e-5
        ends = np.log(evaluate(law.coefficients, size * np.exp(np.array([-step, step]))))
        assert law.exponent(size).value == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("terms", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("error", [0.005, 0.05])
def test_intervals_hold_the_truth(terms: tuple[float, float, float], error: float) -> None:
    truth, count = np.array(terms), 400
    held = dict.fromkeys(("law", "exponent", "constant", "linear", "quadratic", "prediction"), 0)
    powers = truth * SIZES[-1] ** np.arange(3)
    exponent = powers @ np.arange(3) / powers.sum()
    following = evaluate(truth, np.array([NEXT]))[0]
    for noise, further in replays(error, count):
        law = law_of(evaluate(truth, SIZES) * noise, error)
        predicted = law.predict(NEXT)
        assert predicted is not None
        checks = [(law.at(SIZES[-1]), evaluate(truth, SIZES[-1:])[0]), (law.exponent(SIZES[-1]), exponent)]
        checks += [(law.coefficient(term), truth[term]) for term in range(3)]
        checks += [(predicted, following * further)]
        for name, (interval, true) in zip(held, checks, strict=True):
            slack = 1e-9
            held[name] += interval.low - slack <= true <= interval.high + slack
    assert min(held.values()) >= 0.93 * count, held


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0.7, 1.2, 1.5, 2.3])
def test_a_prediction_of_what_follows_no_such_law_is_wide_enough(exponent: float) -> None:
    count, held, flagged = 100, 0, 0
    for noise, further in replays(0.01, count):
        law = law_of(SIZES**exponent * noise, 0.01)
        predicted = law.predict(NEXT)
        assert predicted is not None
        held += predicted.low <= NEXT**exponent * further <= predicted.high
        flagged += law.fits is False
    assert held >= 0.93 * count
    assert flagged >= 0.93 * count


@pytest.mark.parametrize("cliff", [1500, 3000])
def test_a_cliff_among_the_points_is_told_and_widens_the_prediction(cliff: int) -> None:
    def truth(sizes: np.ndarray) -> np.ndarray:
        return np.where(sizes > cliff, 1.6, 1.0) * sizes

    law, smooth = law_of(truth(SIZES)), law_of(SIZES * 1.0)
    predicted, narrow = law.predict(NEXT), smooth.predict(NEXT)
    assert predicted is not None
    assert narrow is not None
    assert law.fits is False
    assert predicted.low <= 1.6 * NEXT <= predicted.high
    assert predicted.high / predicted.low > 3 * narrow.high / narrow.low


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_true_laws_are_seldom_told_not_to_fit(noise: float) -> None:
    truth = evaluate(np.array(LAWS["quadratic"]), SIZES)
    told = sum(law_of(truth * one, noise).fits is False for one, _ in replays(noise, 300))
    assert told <= 0.03 * 300


def test_intervals_widen_with_errors_and_distance() -> None:
    values = evaluate(np.array(LAWS["quadratic"]), SIZES)

    def width(error: float, size: float) -> float:
        found = law_of(values, error).predict(size)
        assert found is not None
        return found.high / found.low

    assert width(0.01, NEXT) < width(0.05, NEXT) < width(0.05, 4 * NEXT)


def test_what_too_few_points_cannot_say_is_none() -> None:
    values = 2 * SIZES

    def points(count: int) -> tuple[list[float], ...]:
        return list(SIZES[:count]), list(values[:count]), [0.01] * count

    assert exponent_between(*points(0)) is None
    assert exponent_between(*points(1)) is None
    two = exponent_between(*points(2))
    assert two is not None
    assert two.value == pytest.approx(1)
    assert fit_growth(*points(0)) is None
    assert fit_growth(*points(2)) is None
    three, four = fit_growth(*points(3)), fit_growth(*points(4))
    assert three is not None
    assert four is not None
    assert three.predict(NEXT) is None
    assert four.predict(NEXT) is not None
    assert fit_growth([100, 110, 120], [1, 2, 3], [0.01] * 3) is None
    exact = fit_growth(list(SIZES[:3]), list(evaluate(np.array(LAWS["quadratic"]), SIZES[:3])), [0.01] * 3)
    assert exact is not None
    assert exact.fits is None


def test_the_order_of_points_does_not_matter_and_nothing_is_random() -> None:
    values = [7.0, 11.0, 19.0, 33.0, 80.0]
    one = law_of(np.array(values))
    order = [3, 0, 4, 2, 1]
    two = law_of(np.array(values)[order], sizes=SIZES[order])
    assert one.predict(NEXT) == two.predict(NEXT)
    assert one.exponent(NEXT) == two.exponent(NEXT)


@pytest.mark.parametrize(
    ("sizes", "values", "errors", "message"),
    [
        ([1, 2, 4], [1, 2], [0.1] * 3, "must be as many"),
        ([1, 2, 4], [1, math.nan, 2], [0.1] * 3, "finite and above 0"),
        ([1, 2, 4], [1, 0, 2], [0.1] * 3, "leave out what was not measured"),
        ([1, 2, 4], [1, 2, 3], [0.1, 0.1, 0], "finite and above 0"),
        ([0, 2, 4], [1, 2, 3], [0.1] * 3, "finite and above 0"),
        ([2, 2, 4], [1, 2, 3], [0.1] * 3, "more than once"),
    ],
)
def test_points_that_make_no_sense_are_refused(sizes, values, errors, message: str) -> None:
    for of in (fit_growth, exponent_between):
        with pytest.raises(ValueError, match=message):
            of(sizes, values, errors)
