"""The protocol's intervals and its warm-up, replayed on streams whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.measure.streams import STREAMS
from vigbench.measure.sampling import CPU, CUDA, Criterion, sample, warm_up

REPLAYS = 1000


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_95_percent_interval_covers_the_true_median_in_93_percent_of_replays(name: str, device: str) -> None:
    criterion = CPU if device == "cpu" else replace(CUDA, max_samples=CPU.max_samples)
    stream, rng = STREAMS[name](), np.random.default_rng(7)
    covered = 0
    for _ in range(REPLAYS):
        values = iter(stream.draw(rng))
        samples = sample(lambda values=values: next(values), criterion, budget_s=60)  # type: ignore[misc]
        interval = samples.interval()
        covered += interval.low <= stream.true_median(len(samples.durations_s)) <= interval.high
    print(f"{device} {name}: {covered} of {REPLAYS}")
    assert covered >= 0.93 * REPLAYS


def test_a_throttling_step_is_told() -> None:
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(50):
        values = iter(np.where(np.arange(500) < 40, 1.0, 1.3) * np.exp(0.1 * rng.standard_normal(500)))
        told += sample(lambda values=values: next(values), CPU, budget_s=60).unsteady  # type: ignore[misc]
    assert told >= 45


RAMPS = {
    "falling, exponential": lambda i, length: 1 + 1.0 * np.exp(-5 * i / length),
    "falling, linear": lambda i, length: 1 + 0.3 * np.clip(1 - i / length, 0, None),
    "rising, linear": lambda i, length: 1 - 0.2 * np.clip(1 - i / length, 0, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("criterion", [CPU, replace(CUDA, min_warmup_s=0.0)], ids=["cpu", "cuda"])
@pytest.mark.parametrize("name", RAMPS)
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("noise", [0.003, 0.01])
def test_warm_up_does_not_stop_inside_a_ramp(criterion: Criterion, name: str, share: float, noise: float) -> None:
    most = criterion.max_warmup
    level: NDArray[np.float64] = RAMPS[name](np.arange(most), share * most)
    rng = np.random.default_rng(1)
    replays, left = 60, 0
    for _ in range(replays):
        values = iter(level * np.exp(noise * rng.standard_normal(most)))
        calls = warm_up(lambda values=values: next(values), criterion, budget_s=60)  # type: ignore[misc]
        left += calls == most or abs(level[calls - 1] - 1) <= 0.03  # the bound, or the ramp's end
    assert left >= 0.95 * replays


def test_a_steady_stream_is_not_warmed_up_for_long() -> None:
    rng = np.random.default_rng(2)
    calls = []
    for _ in range(100):
        values = iter(np.exp(0.005 * rng.standard_normal(CPU.max_warmup)))
        calls.append(warm_up(lambda values=values: next(values), CPU, budget_s=60))  # type: ignore[misc]
    assert np.median(calls) <= 12
