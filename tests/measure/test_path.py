"""The operators that ran are what the label promises."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from vigbench.measure.path import ExecutedPath, record_path
from vigbench.ops.registry import get_operator
from vigbench.subjects.catalog import build_subject

CPU = torch.device("cpu")


def path_of(subject: str, implementation: str) -> ExecutedPath:
    model = build_subject(subject, implementation, 32).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        return record_path(lambda: model(image), CPU)


@pytest.mark.parametrize(
    ("operator", "subject", "names"),
    [
        ("gla", "vig_tiny_patch16_224", ("torch_chunk", "reference")),
        ("attention", "deit_tiny_patch16_224", ("sdpa", "eager")),
    ],
)
def test_each_implementation_keeps_its_own_promise_and_no_other(
    operator: str, subject: str, names: tuple[str, str]
) -> None:
    for ran in names:
        path = path_of(subject, ran)
        for named in names:
            broken = path.broken_promise(*get_operator(operator).promise(named, "cpu"))
            assert (broken is None) == (ran == named), broken


def test_the_backend_of_sdpa_is_named() -> None:
    assert path_of("deit_tiny_patch16_224", "sdpa").sdpa_backend == "flash"
    assert path_of("deit_tiny_patch16_224", "eager").sdpa_backend is None
    q = torch.randn(1, 2, 8, 16)
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        path = record_path(lambda: nn.functional.scaled_dot_product_attention(q, q, q), CPU)
    assert path.sdpa_backend == "math"


def test_calls_are_counted_and_equal_from_call_to_call() -> None:
    layer, x = nn.Linear(3, 3), torch.ones(2, 3)
    first = record_path(lambda: [layer(x) for _ in range(5)], CPU)
    assert first.operators["aten::linear"] == 5
    assert first == record_path(lambda: [layer(x) for _ in range(5)], CPU)
    assert not first.kernels


def test_only_work_of_the_device_counts_as_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def event(name: str, device: str = "CUDA", annotation: bool = False) -> Any:
        return SimpleNamespace(
            name=lambda: name,
            device_type=lambda: SimpleNamespace(name=device),
            is_user_annotation=lambda: annotation,
        )

    events = [
        event("gla_kernel"),
        event("gla_kernel"),
        event("Memcpy DtoH (Device -> Pageable)"),
        event("## Call CompiledFxGraph f3 ##", annotation=True),
        event("Stream Sync"),
        event("aten::mm", "CPU"),
        event("cudaLaunchKernel", "CPU"),
    ]
    monkeypatch.setattr("vigbench.measure.path.events_of", lambda profiler: events)
    assert record_path(lambda: None, CPU) == ExecutedPath({"aten::mm": 1}, {"gla_kernel": 2})


def test_a_broken_promise_is_named() -> None:
    path = ExecutedPath({"aten::bmm": 2}, {"fused_kernel_0": 1})
    assert path.broken_promise(["aten::bmm", "fused_*"], ["aten::_softmax"]) is None
    assert path.broken_promise(["recurrence*"], []) == "recurrence* did not run"
    assert path.broken_promise([], ["fused_*"]) == "fused_kernel_0 ran, which it must not"
