from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tests.measure.allocations import peak_bytes
from tests.ops.biwkv.inputs import assert_close, differentiated, sample
from vigbench.ops.biwkv import chunks
from vigbench.ops.biwkv.reference import reference
from vigbench.ops.biwkv.torch_scan import _backward, _forward, torch_scan
from vigbench.ops.cost import EXECUTED_FLOPS


@pytest.mark.parametrize("backward", [False, True])
def test_memory_is_linear_in_length(backward: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(chunks.SEGMENT_ELEMENTS, "cpu", 2**30)  # one segment, as on a GPU

    def peak(length: int) -> int:
        *inputs, grad = sample("as trained", (1, length, 32))
        return peak_bytes(lambda: _backward(grad, *inputs) if backward else _forward(*inputs))

    assert peak(8192) <= 4.2 * peak(2048)


def test_nothing_but_inputs_is_saved_for_the_backward() -> None:
    inputs = [x.requires_grad_() for x in sample("as trained", (1, 300, 8))[:4]]
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        torch_scan(*inputs)
    assert {x.data_ptr() for x in saved} == {x.data_ptr() for x in inputs}


@pytest.mark.parametrize("elements", [1, 2**10, 2**30])
def test_segments_do_not_change_the_result(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = sample("as trained", (3, 100, 7), torch.float64)
    expected = differentiated(torch_scan, inputs)
    monkeypatch.setitem(chunks.SEGMENT_ELEMENTS, "cpu", elements)
    assert_close(differentiated(torch_scan, inputs), expected, 1e-14)


@pytest.mark.parametrize("length", [1, 2, 3, 63, 64, 65, 1000])
def test_chunks_cover_the_sequence(length: int) -> None:
    x, out = torch.randn(2, length, 3), torch.full((2, length, 3), torch.nan)
    assert chunks.chunk_size(length) ** 2 <= 2 * length
    for segment in chunks.segments(x):
        rows = chunks.load(x, segment, 0.0, x.dtype)
        assert rows.shape[0] == chunks.chunk_size(length)
        chunks.store(out, segment, rows)
        places = chunks.positions(rows).expand(-1, -1, 1, 1).permute(1, 0, 2, 3).flatten()
        assert torch.equal(places, torch.arange(rows.shape[0] * rows.shape[1]).double())
    assert torch.equal(out, x)


@pytest.mark.parametrize("implementation", [reference, torch_scan], ids=["reference", "torch_scan"])
def test_cost(implementation: Callable[..., Tensor]) -> None:
    """By definition the same for all: 8 a token and channel; really executed more, and no less in the backward."""
    w = torch.empty(24, device="meta", requires_grad=True)
    k = torch.empty(2, 200, 24, device="meta", requires_grad=True)
    counts = {}
    for name, mapping in (("algorithmic", None), ("executed", EXECUTED_FLOPS)):
        with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            y = implementation(w, w, k, k)
        forward = counter.get_total_flops() // 2
        with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            torch.autograd.grad(y, (w, k), torch.ones_like(y))
        counts[name] = (forward, counter.get_total_flops() // 2)
    tokens = 2 * 200 * 24
    assert counts["algorithmic"] == (8 * tokens, 16 * tokens)
    if implementation is reference:
        assert counts["executed"] == (2 * 200 * tokens, 5 * 200 * tokens)
    else:
        padded = 2 * 208 * 24
        assert counts["executed"] == (17 * padded + 8 * padded // 16, 44 * padded + padded)
