"""Wilson's interval, by what defines it."""

from math import sqrt
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.stats.proportion import wilson_interval

shares = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(share=shares, confidence=st.floats(0.5, 0.999))
def test_its_ends_are_what_a_score_test_would_just_not_reject(share: tuple[int, int], confidence: float) -> None:
    successes, trials = share
    found = wilson_interval(successes, trials, confidence)
    assert found.share == successes / trials
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    for end in (found.low, found.high):
        assert abs(found.share - end) == pytest.approx(z * sqrt(end * (1 - end) / trials), rel=1e-6, abs=1e-9)
    if successes in (0, trials):
        assert found.share in (found.low, found.high)


@given(share=shares)
def test_it_holds_the_share_within_0_and_1_and_mirrors_its_complement(share: tuple[int, int]) -> None:
    successes, trials = share
    found, mirrored = wilson_interval(successes, trials), wilson_interval(trials - successes, trials)
    assert 0 <= found.low <= found.share <= found.high <= 1
    assert found.low < found.high
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@given(share=shares, times=st.integers(2, 50))
def test_more_images_narrow_it(share: tuple[int, int], times: int) -> None:
    few, many = wilson_interval(*share), wilson_interval(times * share[0], times * share[1])
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_share_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson_interval(successes, trials)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_what_is_no_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        wilson_interval(1, 2, confidence)
