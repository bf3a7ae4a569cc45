import math

import numpy as np
import pytest

from vigbench.stats.hierarchical import UNSEEN_SPREAD, Estimate, estimate

EXPERIMENTS = 1000


def draw(rng: np.random.Generator, processes: int, samples: int, between: float, within: float, heavy: bool = False):  # type: ignore[no-untyped-def]
    for _ in range(processes):
        noise = rng.standard_t(2, samples) if heavy else rng.standard_normal(samples)
        yield list(between * rng.standard_normal() + within * noise)


@pytest.mark.slow
@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("between", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("processes", [3, 5, 8])
def test_the_interval_of_a_ratio_covers_the_truth(processes: int, between: float, heavy: bool) -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(EXPERIMENTS // 4):
        base, head = (estimate(list(draw(rng, processes, 15, between, 0.03, heavy)), 0.05) for _ in range(2))
        low, high = (head - base).interval()
        covered += low <= 0 <= high
    assert covered >= 0.93 * (EXPERIMENTS // 4)


@pytest.mark.parametrize("device", sorted(UNSEEN_SPREAD))
def test_the_spread_that_too_few_processes_cannot_show_is_assumed(device: str) -> None:
    spread = UNSEEN_SPREAD[device]
    one = estimate([[0.0] * 20], spread)
    assert one.standard_error == pytest.approx(spread)
    assert math.isinf(one.degrees)
    assert estimate([[0.0] * 20] * 2, spread).standard_error == pytest.approx(spread / math.sqrt(2))
    assert estimate([[0.0] * 20] * 3, spread).standard_error == 0


def test_the_spread_between_processes_widens_the_interval() -> None:
    alike = estimate([[0.0, 0.01, -0.01] * 5] * 5, 0.05)
    apart = estimate([[0.1 * n, 0.1 * n + 0.01, 0.1 * n - 0.01] * 5 for n in range(5)], 0.05)
    assert apart.standard_error > 5 * alike.standard_error
    assert apart.degrees == 4


def test_correlated_samples_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 200))
    slow = np.repeat(rng.standard_normal((2, 25)), 8, axis=1)  # eight neighbours alike
    assert estimate(list(slow), 0.0).standard_error > 1.3 * estimate(list(noise), 0.0).standard_error


def test_the_result_is_the_same_every_time_and_in_any_unit() -> None:
    groups = [[0.1, 0.2, 0.15], [0.12, 0.22, 0.11], [0.3, 0.1, 0.2]]
    first = estimate(groups, 0.05)
    assert first == estimate(groups, 0.05)
    shifted = estimate([[one + 3 for one in group] for group in groups], 0.05)
    assert shifted.value == pytest.approx(first.value + 3)
    assert shifted.standard_error == pytest.approx(first.standard_error)


def test_student_s_interval_and_p_values_against_tables() -> None:
    one = Estimate(0.0, 1.0, 4)
    assert one.interval()[1] == pytest.approx(2.776, abs=1e-3)
    assert one.p_above(-2.132) == pytest.approx(0.05, abs=1e-3)
    normal = Estimate(0.0, 1.0, math.inf)
    assert normal.interval() == pytest.approx((-1.960, 1.960), abs=1e-3)
    assert normal.p_above(0.0) == pytest.approx(0.5)


def test_welch_s_degrees_lie_between_those_of_the_parts_and_their_sum() -> None:
    difference = Estimate(1.0, 0.3, 4) - Estimate(0.5, 0.4, 6)
    assert difference.value == 0.5
    assert difference.standard_error == pytest.approx(0.5)
    assert 4 <= difference.degrees <= 10


def test_nothing_to_estimate_is_refused() -> None:
    for groups in ([], [[]], [[0.1], []]):
        with pytest.raises(ValueError, match="at least one sample"):
            estimate(groups, 0.05)
