"""What an A/A measurement says about a machine, on duels whose truth is known."""

import math
import re
from functools import partial

import numpy as np
import pytest
from scipy.stats import chi2, t

from vigbench.cli.doctor import doctor
from vigbench.runner import duel
from vigbench.runner.duel import Pair
from vigbench.runner.duel_result import log_ratio_of
from vigbench.runner.noise import noise_report, smallest_difference
from vigbench.stats.hierarchical import Estimate


@pytest.mark.parametrize(("degrees", "error"), [(5.0, 0.01), (11.0, 0.05), (1e6, 0.002)])
def test_a_difference_of_that_size_is_found_nine_times_in_ten(degrees: float, error: float) -> None:
    true = math.log1p(smallest_difference(Estimate(0.0, error, degrees)))
    rng = np.random.default_rng(0)
    found = true + error * rng.standard_normal(100_000)
    estimated = error * np.sqrt(chi2.rvs(degrees, size=found.size, random_state=rng) / degrees)
    share = np.mean(found / estimated > t.ppf(0.975, degrees))
    assert 0.87 <= share <= 0.93


def pairs_of(spread: float, ratio: float = 1.0) -> list[Pair]:
    """Six pairs of processes that vary by `spread` together, and calls of head that take `ratio` times as long."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(6):
        level = math.exp(spread * rng.standard_normal())
        base, head = (factor * level * np.exp(0.002 * rng.standard_normal((30, 3))) for factor in (0.01, 0.01 * ratio))
        pairs.append(Pair(tuple(map(tuple, base.tolist())), tuple(map(tuple, head.tolist()))))
    return pairs


def per_cents(lines: list[str]) -> list[float]:
    """The share that each line but the first is about."""
    return [float(re.findall(r"([\d.]+)%", line)[-1 if "margin" in line else 0]) for line in lines[1:]]


def test_what_pairs_have_in_common_hides_no_difference_but_sets_single_processes_apart() -> None:
    pairs = pairs_of(spread=0.05)
    lines = noise_report(pairs, log_ratio_of(pairs, "cpu"))
    resolved, with_margin, alone = per_cents(lines)
    assert resolved < 0.5
    assert with_margin == pytest.approx(3 + resolved, abs=0.2)
    assert alone > 5
    assert "lies outside" not in lines[0]


def test_an_interval_without_the_truth_is_said() -> None:
    pairs = pairs_of(spread=0.0, ratio=1.1)
    assert "1 lies outside" in noise_report(pairs, log_ratio_of(pairs, "cpu"))[0]


@pytest.mark.slow
def test_doctor_measures_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(duel, "Effort", partial(duel.Effort, processes=3, blocks=5))
    doctor(noise=True, threads=1)
    text = capsys.readouterr().out
    assert "resnet18 128px" in text
    assert "[3/3]" in text
    resolved, with_margin, alone = per_cents(text.splitlines()[-4:])
    assert 0 < resolved < with_margin
    assert alone > 0
