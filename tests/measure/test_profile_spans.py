"""Kernels and what launched them, from events as CUPTI gives them."""

from types import SimpleNamespace
from typing import Any

from vigbench.measure.profile.places import BACKWARD, OUTSIDE, places
from vigbench.measure.profile.ranges import ITERATION
from vigbench.measure.profile.spans import attach_kernels, span_trees
from vigbench.measure.profile.times import add_up

MAIN, AUTOGRAD = 1, 2


def event(
    name: str, begin: int, end: int, *, device: str = "CPU", thread: int = MAIN, index: int = 0, **given: int
) -> Any:
    """One raw event of the profiler; `correlation` is a host event's own number, `origin` the one a kernel names."""
    return SimpleNamespace(
        name=lambda: name,
        start_ns=lambda: begin,
        duration_ns=lambda: end - begin,
        start_thread_id=lambda: thread,
        sequence_nr=lambda: given.get("sequence", -1),
        fwd_thread_id=lambda: given.get("forward_thread", 0),
        correlation_id=lambda: given.get("correlation", 0),
        linked_correlation_id=lambda: given.get("origin", 0),
        device_type=lambda: SimpleNamespace(name=device),
        device_index=lambda: index,
        is_user_annotation=lambda: bool(given.get("annotation", 0)),
    )


def kernel(name: str, begin: int, end: int, **given: int) -> Any:
    return event(name, begin, end, device="CUDA", **given)


EVENTS = [
    event(ITERATION, 0, 1000, correlation=1),
    event("module 0", 10, 200, correlation=2),
    event("aten::linear", 20, 100, correlation=3, sequence=7),
    event("aten::addmm", 30, 90, correlation=4, sequence=8),
    event("cudaLaunchKernel", 40, 50, correlation=4),
    event("cudaDeviceSynchronize", 900, 990, correlation=99),
    event(
        "autograd::engine::evaluate_function: AddmmBackward0",
        300,
        400,
        thread=AUTOGRAD,
        forward_thread=MAIN,
        sequence=8,
    ),
    event("aten::mm", 310, 390, thread=AUTOGRAD, correlation=6),
    event("autograd::engine::evaluate_function: Other", 410, 450, thread=AUTOGRAD),
    event("aten::add_", 420, 440, thread=AUTOGRAD, correlation=7),
    kernel("gemm", 120, 220, origin=4),
    kernel("triton_kernel", 220, 250, origin=2),
    kernel("gemm", 500, 700, origin=6),
    kernel("add", 710, 711, origin=7),
    kernel("Memset", 720, 722),
    kernel("gemm", 120, 220, origin=4, index=1),
    kernel("module 0", 100, 250, origin=2, annotation=1),
    kernel("Stream Sync", 800, 900, origin=1),
    kernel("gemm", 1200, 1300, origin=4),
]


def test_kernels_belong_to_the_operator_or_range_that_launched_them() -> None:
    roots = span_trees(EVENTS)
    kernels = attach_kernels(EVENTS, roots, 0)
    assert [(one.name, one.origin.name) for one in kernels] == [
        ("gemm", "aten::addmm"),
        ("triton_kernel", "module 0"),
        ("gemm", "aten::mm"),
        ("add", "aten::add_"),
        ("Memset", ITERATION),
    ]


def test_time_on_the_device_adds_up_by_module_operator_and_cost() -> None:
    roots = span_trees(EVENTS)
    kernels = attach_kernels(EVENTS, roots, 0)
    labels = {"module 0": "0"}
    times = add_up(places(roots, labels, {"aten::addmm", "aten::mm"}), labels, on_device=True)
    assert times.total == sum(one.end - one.begin for one in kernels) == 100 + 30 + 200 + 1 + 2
    assert (times.modules["0"].forward, times.modules["0"].backward, times.modules["0"].outside) == (130, 200, 0)
    assert times.modules[BACKWARD].backward == 1
    assert times.modules[OUTSIDE].forward == 2
    assert times.operators["aten::linear"].own == 0
    assert times.operators["aten::linear"].total == 100
    assert times.costs["0", True, "aten::mm"].total == 200
    assert sum(one.total for one in times.costs.values()) == times.total


def test_calls_of_the_runtime_are_no_part_of_the_host() -> None:
    names = {span.name for root in span_trees(EVENTS) for span in root.walk()}
    assert not any(name.startswith("cuda") for name in names)
