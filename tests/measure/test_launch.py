from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.measure.launch import busy_share, busy_time, device_intervals

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


def event(name: str, begin: int, end: int, device: str = "CUDA", index: int = 0, annotation: bool = False) -> Any:
    return SimpleNamespace(
        name=lambda: name,
        start_ns=lambda: begin,
        duration_ns=lambda: end - begin,
        device_type=lambda: SimpleNamespace(name=device),
        device_index=lambda: index,
        is_user_annotation=lambda: annotation,
    )


def test_only_work_of_this_device_counts() -> None:
    events = [
        event("gemm", 10, 20),
        event("Memcpy DtoD (Device -> Device)", 30, 40),
        event("Memset (Device)", 40, 45),
        event("aten::mm", 0, 100, device="CPU"),
        event("cudaLaunchKernel", 0, 5, device="CPU"),
        event("Lazy Function Loading", 0, 90, device="CPU"),
        event("gemm", 0, 100, index=1),
        event("forward", 0, 100, annotation=True),
        event("Stream Wait Event", 0, 100),
    ]
    assert device_intervals(events, 0) == [(10, 20), (30, 40), (40, 45)]


def test_the_share_is_of_the_latency_and_never_above_one() -> None:
    assert busy_share(0.25, 0.5) == pytest.approx(0.5)
    assert busy_share(0.6, 0.5) == 1
    assert busy_share(None, 0.5) is None
