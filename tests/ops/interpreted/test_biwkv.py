"""Bi-WKV's Triton kernels on the CPU, in Triton's interpreter: run by test_interpreted.py."""

import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.anywhere import allow_anywhere
from tests.ops.biwkv.inputs import CASES, assert_close, differentiated, doubled, sample
from vigbench.ops import kernel_launch
from vigbench.ops.biwkv import bi_wkv, triton_fused
from vigbench.ops.biwkv.reference import reference
from vigbench.ops.biwkv.triton_fused import BiwkvSettings

ALLOWED = {torch.float32: 1e-6, torch.float16: 2e-3}
CANCELLING = "steep keys against the decay"  # of 1e4: a float32 key has no more digits


@pytest.fixture(autouse=True)
def poisoned_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that a kernel leaves unwritten is NaN."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks in the shortest sequences."""
    for name in ("FORWARD", "BACKWARD"):
        monkeypatch.setattr(triton_fused, name, BiwkvSettings(chunk=4, block=8, warps=1))


def assert_as_defined(inputs: list[torch.Tensor], allowed: float) -> None:
    found = differentiated(triton_fused.triton_fused, inputs)
    assert_close(found, differentiated(reference, doubled(inputs)), allowed)


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("length", [1, 7, 8, 17, 50])
def test_lengths(length: int, dtype: torch.dtype) -> None:
    assert_as_defined(sample("as trained", (1, length, 5), dtype), ALLOWED[dtype])


def test_images_and_blocks_of_channels() -> None:
    assert_as_defined(sample("as trained", (2, 9, 70)), ALLOWED[torch.float32])


@pytest.mark.parametrize("case", CASES)
def test_every_case(case: str, small_blocks: None) -> None:
    assert_as_defined(sample(case, (1, 22, 6)), 1e-3 if case == CANCELLING else ALLOWED[torch.float32])


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 15), st.integers(1, 8)),
    decay=st.floats(-50, 50),
    bonus=st.floats(-50, 50),
    spread=st.floats(0, 100),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_size(
    shape: tuple[int, int, int], decay: float, bonus: float, spread: float, seed: int, small_blocks: None
) -> None:
    w, u, k, v, grad = sample("no decay", shape, torch.float32, seed)
    assert_as_defined([w + decay, u + bonus, spread * k, v, grad], 5e-6)


def test_the_same_bits_again(small_blocks: None) -> None:
    inputs = sample("as trained", (1, 20, 6))
    first, second = (differentiated(triton_fused.triton_fused, inputs) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_strides_of_a_projection_are_read_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """k and v are slices of one tensor; a copy would show as another kernel argument."""
    w, u, k, v, grad = sample("as trained", (2, 9, 6))
    joined = torch.cat((k, v), -1)
    strided = joined.split(6, -1)
    seen: list[int] = []
    start = kernel_launch.launch_kernel

    def watched(kernel: object, grid: object, device: object, args: tuple[object, ...], *rest: object) -> None:
        seen.extend(each.data_ptr() for each in args if isinstance(each, torch.Tensor))
        start(kernel, grid, device, args, *rest)

    monkeypatch.setattr(kernel_launch, "launch_kernel", watched)
    found = triton_fused.triton_fused(w, u, *strided)
    assert {x.data_ptr() for x in strided} <= set(seen)
    assert torch.equal(found, triton_fused.triton_fused(w, u, k, v))
    assert_as_defined([w, u, *strided, torch.ones(1).expand_as(grad)], ALLOWED[torch.float32])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
def test_opcheck() -> None:
    inputs = [x.requires_grad_() for x in sample("as trained", (1, 5, 2))[:4]]
    torch.library.opcheck(triton_fused.triton_fused, inputs)


def test_no_images() -> None:
    w, u, k, v, grad = sample("as trained", (1, 5, 4))
    found = differentiated(triton_fused.triton_fused, [w, u, k[:0], v[:0], grad[:0]])
    assert found[0].shape == (0, 5, 4)
    assert not found[1].any()


def test_float64_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sum in float32: .* or use torch_scan"):
        triton_fused.triton_fused(*sample("as trained", (1, 5, 2), torch.float64)[:4])


def test_torch_compile_takes_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_anywhere(monkeypatch, "biwkv", "triton_fused")
    inputs = sample("as trained", (1, 9, 4))
    compiled = torch.compile(lambda *xs: bi_wkv(*xs, "triton_fused"), fullgraph=True, backend="aot_eager")
    assert_close(differentiated(compiled, inputs), differentiated(reference, doubled(inputs)), ALLOWED[torch.float32])
