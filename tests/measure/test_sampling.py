from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from vigbench.measure.latency import measure_timing, timed
from vigbench.measure.sampling import CPU, CUDA, MANY_PASSES, criterion_for, sample, warm_up


def stream(values: Iterator[float]) -> Callable[[], float]:
    return lambda: next(values)


def ramp(start: float, factor: float, floor: float) -> Iterator[float]:
    value = start
    while True:
        yield max(value, floor)
        value *= factor


def test_steady_calls_need_only_the_minimum() -> None:
    calls = warm_up(stream(ramp(1.0, 1.0, 1.0)), CPU, budget_s=60)
    assert calls == 2 * CPU.min_window + CPU.warmup_looks - 1
    samples = sample(stream(ramp(1.0, 1.0, 1.0)), CPU, budget_s=60)
    assert samples.converged
    assert len(samples.durations_s) == CPU.min_samples


def test_an_iteration_of_many_passes_is_not_repeated_as_often() -> None:
    assert criterion_for("cpu", MANY_PASSES - 1) == CPU
    criterion = criterion_for("cpu", MANY_PASSES)
    assert warm_up(stream(ramp(100.0, 1.0, 100.0)), criterion, budget_s=0) == 1
    samples = sample(stream(ramp(100.0, 1.0, 100.0)), criterion, budget_s=0)
    assert len(samples.durations_s) == 3
    assert not samples.converged


def test_a_device_is_warmed_up_for_its_time_however_short_the_calls() -> None:
    from time import perf_counter

    begin = perf_counter()
    assert warm_up(stream(ramp(1.0, 1.0, 1.0)), CUDA, budget_s=60) > CUDA.max_warmup
    assert perf_counter() - begin >= CUDA.min_warmup_s


def test_warm_up_goes_on_inside_a_ramp_and_is_bounded() -> None:
    assert warm_up(stream(ramp(100.0, 0.9, 1.0)), CPU, budget_s=60) == CPU.max_warmup
    assert warm_up(stream(ramp(2.0, 0.9, 1.0)), CPU, budget_s=60) >= 8


def test_warm_up_takes_its_minimum_even_without_budget() -> None:
    assert warm_up(stream(ramp(1.0, 0.5, 0.0)), CPU, budget_s=0) == CPU.min_warmup


def test_noise_is_sampled_until_the_interval_is_narrow() -> None:
    def noisy() -> Iterator[float]:
        while True:
            yield from (1.0, 1.2, 0.9, 1.1, 1.05, 0.95, 1.02)

    wide = sample(stream(noisy()), CPU, budget_s=60)
    narrow = sample(stream(noisy()), replace(CPU, half_width=0.2), budget_s=60)
    assert wide.converged
    assert len(wide.durations_s) > len(narrow.durations_s) == CPU.min_samples


def test_what_does_not_converge_is_kept_and_says_so() -> None:
    def bimodal() -> Iterator[float]:
        while True:
            yield from (1.0, 2.0)

    samples = sample(stream(bimodal()), replace(CPU, max_samples=100), budget_s=60)
    assert not samples.converged
    assert len(samples.durations_s) == 100


def test_without_budget_the_floor_is_taken_and_never_called_converged() -> None:
    samples = sample(stream(ramp(1.0, 1.0, 1.0)), CPU, budget_s=0)
    assert len(samples.durations_s) == CPU.floor_samples
    assert not samples.converged


@pytest.mark.parametrize("queued", [False, True])
def test_every_call_is_synchronised_and_throughput_only_once_a_block(queued: bool) -> None:
    log: list[str] = []
    timing = measure_timing(
        lambda: log.append("call"),
        lambda: log.append("sync"),
        queued=queued,
        criterion=replace(CPU, max_samples=10),
        budget_s=0.0,
    )
    latency_calls = len(timing.latency.durations_s)
    assert log[: 3 * latency_calls] == ["sync", "call", "sync"] * latency_calls
    blocks = log[3 * latency_calls :]
    if queued:
        expected = ["sync", *["call"] * timing.calls_per_block, "sync"] * len(timing.throughput.durations_s)
        trial, taken = blocks[: -len(expected)], blocks[-len(expected) :]
        assert taken == expected
        assert (trial[0], trial.count("sync"), trial[-1]) == ("sync", 2, "sync"), "one block tells how many calls"
    else:
        assert blocks == []
        assert timing.throughput is timing.latency


def test_timed_returns_the_duration_of_the_call_in_seconds() -> None:
    from time import sleep

    assert 0.05 <= timed(lambda: sleep(0.05), lambda: None)() < 50
