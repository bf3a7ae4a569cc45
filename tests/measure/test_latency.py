from collections.abc import Callable
from dataclasses import replace

import pytest

from vigbench.measure import latency, sampling
from vigbench.measure.latency import (
    BETWEEN_S,
    THROUGHPUT_BLOCK_S,
    between_samples,
    block_of,
    measure_parts,
    measure_timing,
)
from vigbench.measure.sampling import CPU, Criterion

QUICK = replace(CPU, min_samples=6, max_samples=6)


class Clock:
    """Stands for the machine's: only `sleep` lets its time pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        for module in (latency, sampling):
            monkeypatch.setattr(module, "perf_counter", lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Log:
    """Writes down what happens, and when it is inside of a timed region: between two `sync`s with a call."""

    def __init__(self, call: Callable[[], None] = lambda: None) -> None:
        self.events: list[str] = []
        self.during = call

    def call(self) -> None:
        self.events.append("call")
        self.during()

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.events.append(name)


@pytest.fixture
def criterion() -> Criterion:
    return QUICK


def test_the_state_is_read_outside_of_timed_regions(criterion: Criterion) -> None:
    log = Log()
    measure_timing(log.call, log.sync, queued=True, criterion=criterion, budget_s=0.0, on_block=log.read)
    assert "read" in log.events
    for at, event in enumerate(log.events):
        if event == "read":
            assert log.events[at - 1] == "sync"  # the one that ends a sample
            assert log.events[at + 1 : at + 2] in ([], ["sync"])  # the one that begins the next


def test_reading_takes_no_part_in_a_duration(criterion: Criterion, clock: Clock) -> None:
    log = Log(lambda: clock.sleep(0.01))
    timing = measure_timing(
        log.call, log.sync, queued=False, criterion=criterion, budget_s=0.0, on_block=lambda: clock.sleep(0.1)
    )
    assert max(timing.latency.durations_s) == pytest.approx(0.01)


def test_a_block_of_queued_calls_is_long_enough(criterion: Criterion, clock: Clock) -> None:
    queue: list[float] = []

    def synchronize() -> None:  # a launch costs 1 ms on top of each synchronised call
        if queue:
            clock.sleep(1e-3 + sum(queue))
        queue.clear()

    timing = measure_timing(lambda: queue.append(1e-3), synchronize, queued=True, criterion=criterion, budget_s=0.0)
    assert timing.calls_per_block * min(timing.throughput.durations_s) > 0.8 * THROUGHPUT_BLOCK_S


def test_short_samples_share_a_reading() -> None:
    reads: list[None] = []
    observed = between_samples(lambda: 0.0, lambda: reads.append(None), every_s=3600)
    for _ in range(100):
        observed()
    assert len(reads) == 1  # the first is always read: a case may be over before `every_s`
    each = between_samples(lambda: 0.0, lambda: reads.append(None), every_s=0)
    for _ in range(100):
        each()
    assert len(reads) == 101


def test_a_block_of_the_queue_is_long_enough_for_its_own_reading(criterion: Criterion, clock: Clock) -> None:
    log = Log(lambda: clock.sleep(0.02))
    timing = measure_timing(log.call, log.sync, queued=True, criterion=criterion, budget_s=0.0, on_block=log.read)
    blocks = len(timing.throughput.durations_s)
    assert timing.calls_per_block * min(timing.throughput.durations_s) >= BETWEEN_S
    assert log.events.count("read") >= blocks


def test_without_a_reader_nothing_is_wrapped() -> None:
    def timed_call() -> float:
        return 0.0

    assert between_samples(timed_call, None) is timed_call


def test_the_fixed_workload_takes_turns_with_the_latency_samples(criterion: Criterion) -> None:
    log = Log()
    durations = iter(range(1000))

    def calibration() -> float:
        log.events.append("fixed")
        return float(next(durations))

    timing = measure_timing(log.call, log.sync, queued=True, criterion=criterion, budget_s=0.0, calibration=calibration)
    count = len(timing.latency.durations_s)
    assert timing.calibration_s == tuple(map(float, range(count)))
    assert log.events[: 4 * count] == ["sync", "call", "sync", "fixed"] * count
    assert "fixed" not in log.events[4 * count :]


def test_a_block_makes_its_calls() -> None:
    log = Log()
    block_of(log.call, 3)()
    assert log.events == ["call"] * 3


def test_each_part_has_its_own_time_and_is_waited_for(clock: Clock) -> None:
    ran: list[str] = []

    def part(name: str, seconds: float) -> None:
        ran.append(name)
        clock.sleep(seconds)

    def synchronize() -> None:
        ran.append("wait")
        clock.sleep(0.25)  # the device's own time, which the host has to wait for

    parts = {"forward": lambda: part("forward", 1.0), "backward": lambda: part("backward", 2.0)}
    taken = measure_parts(parts, synchronize, CPU, budget_s=1e9)
    assert ran[:6] == ["wait", "forward", "wait", "wait", "backward", "wait"]
    assert taken.converged
    assert set(taken.by_name["forward"]) == {1.25}
    assert set(taken.by_name["backward"]) == {2.25}
    assert len(taken.by_name["forward"]) == len(taken.by_name["backward"]) >= CPU.min_samples


def test_the_first_iteration_is_not_counted_and_the_budget_ends_the_rest(clock: Clock) -> None:
    waits = iter([100.0] + [1.0, 2.0] * 1000)
    taken = measure_parts({"only": lambda: clock.sleep(next(waits))}, lambda: None, replace(CPU), budget_s=12.0)
    assert 100.0 not in taken.by_name["only"]
    assert not taken.converged
    assert len(taken.by_name["only"]) == 8  # 1 + 2 + ... reaches 12 s
