from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vigbench.measure import launch
from vigbench.measure.launch import (
    CALLS_S,
    FEWEST_CALLS,
    MOST_CALLS,
    DeviceWork,
    Work,
    busy_share,
    busy_time,
    device_work,
    profile_device,
    read_cold,
)

intervals = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=12
)


@given(intervals)
def test_busy_time_is_the_number_of_instants_with_something_running(spans: list[tuple[int, int]]) -> None:
    running = {instant for begin, end in spans for instant in range(begin, end)}
    assert busy_time(spans) == len(running)


@given(intervals, st.randoms())
def test_order_and_repetition_do_not_matter(spans: list[tuple[int, int]], random: Any) -> None:
    shuffled = spans * 2
    random.shuffle(shuffled)
    assert busy_time(shuffled) == busy_time(spans)


def test_two_streams_at_once_count_once() -> None:
    assert busy_time([(0, 10), (5, 15), (2, 3), (20, 30)]) == 25
    assert busy_time([]) == 0


def event(
    name: str, begin: int, end: int, device: str = "CUDA", index: int = 0, annotation: bool = False, stream: int = 7
) -> Any:
    return SimpleNamespace(
        name=lambda: name,
        start_ns=lambda: begin,
        duration_ns=lambda: end - begin,
        device_type=lambda: SimpleNamespace(name=device),
        device_index=lambda: index,
        device_resource_id=lambda: stream,
        is_user_annotation=lambda: annotation,
    )


def test_only_work_of_this_device_counts() -> None:
    events = [
        event("gemm", 10, 20),
        event("Memcpy DtoD (Device -> Device)", 30, 40, stream=13),
        event("Memset (Device)", 40, 45),
        event("aten::mm", 0, 100, device="CPU"),
        event("cudaLaunchKernel", 0, 5, device="CPU"),
        event("Lazy Function Loading", 0, 90, device="CPU"),
        event("gemm", 0, 100, index=1),
        event("forward", 0, 100, annotation=True),
        event("Stream Wait Event", 0, 100),
    ]
    assert device_work(events, 0) == [Work(10, 20, 7), Work(30, 40, 13), Work(40, 45, 7)]


def test_the_share_is_of_the_latency_and_never_above_one() -> None:
    assert busy_share(0.25, 0.5) == pytest.approx(0.5)
    assert busy_share(0.6, 0.5) == 1


# what the profiler is made to see


class Gpu:
    """A GPU and its profiler: runs what is launched at once, kernels slower from a flushed cache, all in ns.

    Attributes:
        host_ns: of the host, for each kernel.
        misses: work that the profiler does not see at first, while it starts.
    """

    def __init__(self, kernels: int = 4, kernel_ns: int = 1000, cold_ns: int = 1500, host_ns: int = 0) -> None:
        self.kernels, self.kernel_ns, self.cold_ns, self.host_ns = kernels, kernel_ns, cold_ns, host_ns
        self.now, self.cold, self.clock = 0, False, 1.0
        self.events: list[Any] | None = None
        self.misses, self.blind, self.room, self.calls, self.pauses = 0, False, True, 0, 0.0

    def work(self, name: str, duration: int, stream: int = 7) -> None:
        duration = int(duration / self.clock)
        if self.events is not None and not self.blind:
            if self.misses:
                self.misses -= 1
            else:
                self.events.append(event(name, self.now, self.now + duration, stream=stream))
        self.now += duration

    def flush(self) -> None:
        self.work("Memset (Device)", 50_000, stream=20)
        self.cold = True

    def call(self) -> None:
        self.calls += 1
        for _ in range(self.kernels):
            self.now += self.host_ns
            self.work("gemm", self.cold_ns if self.cold else self.kernel_ns)
        self.cold = False

    def mark(self) -> None:
        self.work("Memset (Device)", 1_000, stream=20)

    def borders(self, device: torch.device) -> "Gpu":
        if not self.room:
            raise torch.OutOfMemoryError("full")
        return self

    @contextmanager
    def profile(self, **options: Any) -> Iterator[Any]:
        self.events = []
        yield self.events
        self.now += 10**9


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[Gpu], DeviceWork | None]:
    def profiled(gpu: Gpu) -> DeviceWork | None:
        monkeypatch.setattr(launch, "one_profile", gpu.profile)
        monkeypatch.setattr(launch, "events_of", lambda events: events)
        monkeypatch.setattr(launch, "Borders", gpu.borders)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        monkeypatch.setattr("vigbench.measure.latency.perf_counter", lambda: gpu.now / 1e9)
        monkeypatch.setattr(launch.time, "sleep", lambda seconds: setattr(gpu, "pauses", gpu.pauses + seconds))
        return profile_device(gpu.call, torch.device("cuda", 0))

    return profiled


OnGpu = Callable[[Gpu], DeviceWork | None]


def test_kernels_are_summed_from_a_cold_cache_call_by_call_without_the_flushes(on_gpu: OnGpu) -> None:
    found = on_gpu(Gpu(host_ns=9000))
    assert found is not None
    assert found.cold
    assert found.kernel_s == pytest.approx([4 * 1500e-9] * MOST_CALLS)
    assert found.busy_s == pytest.approx(4 * 1000e-9)
    assert found.latency_s == pytest.approx(4 * 10_000e-9)
    assert found.busy_share == pytest.approx(0.1)


def test_borders_that_the_profiler_misses_at_its_start_do_no_harm(on_gpu: OnGpu) -> None:
    gpu = Gpu()
    gpu.misses = launch.LEADING_MARKS - 1
    found = on_gpu(gpu)
    assert found is not None
    assert found.cold
    assert found.busy_s == pytest.approx(4 * 1000e-9)


@pytest.mark.parametrize(("call_s", "calls"), [(1e-3, MOST_CALLS), (CALLS_S / 5, 5), (2 * CALLS_S, FEWEST_CALLS)])
def test_a_slow_call_is_profiled_less_often(call_s: float, calls: int, on_gpu: OnGpu) -> None:
    gpu = Gpu(1, int(1e9 * call_s), int(1e9 * call_s))
    found = on_gpu(gpu)
    assert found is not None
    assert len(found.kernel_s) == calls
    assert gpu.calls == FEWEST_CALLS + 1 + 2 * calls


def test_without_room_to_flush_the_cache_is_warm_and_said_to_be(on_gpu: OnGpu) -> None:
    gpu = Gpu()
    gpu.room = False
    found = on_gpu(gpu)
    assert found is not None
    assert not found.cold
    assert found.kernel_s == pytest.approx([4 * 1000e-9])


def test_a_timeline_that_borders_do_not_divide_is_read_without_them(on_gpu: OnGpu) -> None:
    """The model uses the stream of the borders: then nobody can tell them apart."""

    class Shares(Gpu):
        def call(self) -> None:
            super().call()
            self.work("copy", 10, stream=20)

    found = on_gpu(Shares())
    assert found is not None
    assert not found.cold
    assert found.kernel_s == pytest.approx([4 * 1000e-9 + 10e-9])


def test_a_profiler_that_sees_nothing_gives_nothing(on_gpu: OnGpu) -> None:
    gpu = Gpu()
    gpu.blind = True
    assert on_gpu(gpu) is None


def test_a_gpu_that_slows_down_under_load_is_as_busy_as_before(on_gpu: OnGpu) -> None:
    """One large product: whatever the clock was while its latency was sampled, it keeps the device busy."""
    for clock in (1.0, 0.6):
        gpu = Gpu(kernels=1, kernel_ns=1_500_000, cold_ns=1_500_000, host_ns=20_000)
        gpu.clock = clock
        found = on_gpu(gpu)
        assert found is not None
        assert found.busy_share > 0.95
        assert gpu.pauses > 0, "the latency beside it is of a device that had a pause, as the profiled calls are"


def test_calls_on_several_streams_overlap_in_each_call_alone() -> None:
    one = [Work(0, 5, 20), Work(10, 20, 7), Work(15, 30, 8)]
    three = [Work(at + begin, at + end, stream) for at in (0, 100, 200) for begin, end, stream in one]
    found = read_cold(three, 1, 1.0)
    assert found is not None
    assert (found.busy_s, found.kernel_s) == (pytest.approx(20e-9), pytest.approx((20e-9,)))
    assert read_cold(three, 2, 1.0) is None
    assert read_cold([], 1, 1.0) is None
