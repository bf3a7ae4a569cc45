from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vigbench.measure import device_time
from vigbench.measure.device_time import (
    FLUSH_TIMES_L2,
    L2_IF_UNKNOWN,
    MAX_SPIN_S,
    CudaQueue,
    KernelTime,
    measure_kernel_time,
)
from vigbench.measure.sampling import CUDA, Samples

DEVICE = torch.device("cuda", 0)
HZ = 1.98e9  # of the cycles that a spin counts


@dataclass
class Mark:
    queue: "FakeQueue"
    at: float

    def query(self) -> bool:
        return self.queue.now >= self.at

    def synchronize(self) -> None:
        self.queue.now = max(self.queue.now, self.at)

    def elapsed_time(self, end_event: Any) -> float:
        return float(1e3 * (end_event.at - self.at))


@dataclass
class FakeQueue:
    """A host clock, and a device that works through its queue in order; `depth` launches fit into the queue."""

    depth: int = 10**9
    now: float = 0.0
    idle_at: float = 0.0
    log: list[str] = field(default_factory=list)
    pending: deque[float] = field(default_factory=deque)

    def work(self, seconds: float) -> None:
        self.idle_at = max(self.idle_at, self.now) + seconds

    def flush(self) -> None:
        self.log.append("flush")
        self.work(50e-6)

    def spin(self, seconds: float) -> None:
        assert seconds <= MAX_SPIN_S
        self.log.append("spin")
        self.work(seconds)

    def record(self) -> Mark:
        self.log.append("mark")
        return Mark(self, max(self.idle_at, self.now))

    def launch(self, kernels: int, host_s: float, kernel_s: float) -> None:
        for _ in range(kernels):
            if len(self.pending) >= self.depth:
                self.now = max(self.now, self.pending.popleft())  # the host waits for a place in the queue
            self.now += host_s
            self.work(kernel_s)
            self.pending.append(self.idle_at)
        self.log.append("call")

    def wait(self) -> None:
        self.now = max(self.now, self.idle_at)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    fake = FakeQueue()
    monkeypatch.setattr(device_time, "perf_counter", lambda: fake.now)
    return fake


def kernel_time(call: Any, queue: FakeQueue, budget_s: float = 60) -> KernelTime:
    found = measure_kernel_time(call, DEVICE, CUDA, budget_s, queue=queue)
    assert found is not None
    return found


@pytest.mark.parametrize("host_s", [1e-6, 1e-5, 1e-4, 5e-4])
def test_only_the_devices_own_time_counts_however_slow_the_host_launches(queue: FakeQueue, host_s: float) -> None:
    found = kernel_time(lambda: queue.launch(100, host_s, kernel_s=5e-6), queue)
    assert found.launch_hidden
    assert found.samples.durations_s == pytest.approx([100 * 5e-6] * len(found.samples.durations_s))
    assert found.samples.converged
    assert len(found.samples.durations_s) >= CUDA.min_samples


def test_every_sample_starts_from_a_flushed_cache_behind_a_spin(queue: FakeQueue) -> None:
    kernel_time(lambda: queue.launch(3, 1e-5, 1e-5), queue)
    rounds = len(queue.log) // 5
    assert queue.log == ["flush", "spin", "mark", "call", "mark"] * rounds


def test_launches_that_take_longer_than_the_longest_spin_are_not_hidden(queue: FakeQueue) -> None:
    found = kernel_time(lambda: queue.launch(100, 2e-3, kernel_s=5e-6), queue)
    assert not found.launch_hidden
    assert min(found.samples.durations_s) > 100 * 5e-6  # an upper bound, and said to be one


def test_a_call_that_waits_for_the_device_is_not_hidden(queue: FakeQueue) -> None:
    def call() -> None:
        queue.launch(10, 1e-5, 1e-5)
        queue.wait()
        queue.launch(10, 1e-5, 1e-5)

    found = kernel_time(call, queue)
    assert not found.launch_hidden
    assert queue.now < 1  # of which no long spin would have helped any sample


def test_more_kernels_than_the_driver_queues_are_not_hidden(queue: FakeQueue) -> None:
    queue.depth = 1000
    assert kernel_time(lambda: queue.launch(900, 5e-6, 5e-6), queue).launch_hidden
    assert not kernel_time(lambda: queue.launch(3000, 5e-6, 5e-6), queue).launch_hidden


def test_a_slow_call_that_cannot_be_hidden_is_not_tried_over_and_over(queue: FakeQueue) -> None:
    calls: list[None] = []

    def call() -> None:
        calls.append(None)
        queue.launch(10, 1.0, 1e-3)

    assert measure_kernel_time(call, DEVICE, CUDA, budget_s=1.0, queue=queue) is None
    assert len(calls) == 2


def test_one_late_launch_in_many_does_not_spoil_the_rest(queue: FakeQueue) -> None:
    calls: list[None] = []

    def call() -> None:
        calls.append(None)
        queue.launch(10, 0.02 if len(calls) == 20 else 1e-5, 1e-5)

    found = kernel_time(call, queue)
    assert found.launch_hidden
    assert max(found.samples.durations_s) > 1e-3  # kept, as every sample is


def test_no_room_for_the_flushing_buffer_leaves_the_number_out() -> None:
    class Full(FakeQueue):
        def flush(self) -> None:
            raise torch.OutOfMemoryError("full")

    assert measure_kernel_time(lambda: None, DEVICE, CUDA, 1.0, queue=Full()) is None


def test_samples_are_of_the_kind_that_every_other_timing_has(queue: FakeQueue) -> None:
    assert isinstance(kernel_time(lambda: queue.launch(1, 1e-6, 1e-4), queue).samples, Samples)


class Cycles:
    """A device that only spins, at HZ; its first spin is slow, as a cold one is."""

    def __init__(self) -> None:
        self.now_ms, self.spins = 0.0, 0

    def sleep(self, cycles: int) -> None:
        self.now_ms += 1e3 * cycles / (HZ if self.spins else HZ / 7)
        self.spins += 1

    def event(self, enable_timing: bool) -> Any:
        assert enable_timing
        event = SimpleNamespace(at_ms=None, synchronize=lambda: None)
        event.record = lambda: setattr(event, "at_ms", self.now_ms)
        event.elapsed_time = lambda end: end.at_ms - event.at_ms
        return event


@pytest.fixture
def cycles(monkeypatch: pytest.MonkeyPatch) -> Cycles:
    device = Cycles()
    monkeypatch.setattr(torch.cuda, "_sleep", device.sleep)
    monkeypatch.setattr(torch.cuda, "Event", device.event)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(L2_cache_size=3 * 2**20))
    return device


@pytest.mark.parametrize("seconds", [1e-3, 0.1])
def test_a_spin_lasts_as_long_as_asked_at_whatever_clock(cycles: Cycles, seconds: float) -> None:
    queue = CudaQueue(torch.device("cpu"))
    before = cycles.now_ms
    queue.spin(seconds)
    assert cycles.now_ms - before == pytest.approx(1e3 * seconds, rel=1e-3)


def test_the_flush_writes_more_than_the_cache_holds(cycles: Cycles) -> None:
    queue = CudaQueue(torch.device("cpu"))
    assert queue._buffer.nbytes == FLUSH_TIMES_L2 * 3 * 2**20
    assert FLUSH_TIMES_L2 >= 2
    queue._buffer.fill_(1)
    queue.flush()
    assert not queue._buffer.any()


def test_an_unknown_cache_is_taken_as_a_large_one(cycles: Cycles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace())
    assert CudaQueue(torch.device("cpu"))._buffer.nbytes == FLUSH_TIMES_L2 * L2_IF_UNKNOWN
