import pytest
import torch
from torch import Tensor

from tests.measure.allocations import peak_bytes
from tests.ops.gated_delta.inputs import sample
from vigbench.ops.gated_delta.torch_chunk import _backward, _forward
from vigbench.ops.gla import chunks as chunking


@pytest.mark.parametrize("backward", [False, True])
def test_memory_is_linear_in_length(backward: bool) -> None:
    def peak(length: int) -> int:
        *inputs, grad = sample("as initialised", (1, length, 2), 32, 64)
        return peak_bytes(lambda: _backward(grad, *inputs, 1.0) if backward else _forward(*inputs, 1.0))

    short, long = peak(2048), peak(8192)
    assert long <= 4.2 * short
    inputs_bytes = 8192 * 2 * (2 * 32 + 64) * 4
    assert long <= (4 if backward else 3) * inputs_bytes


def test_nothing_but_inputs_is_saved_for_the_backward() -> None:
    inputs = [x.requires_grad_() for x in sample("as initialised", (1, 300, 2), 8, 8)[:7]]
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        torch.ops.vigbench.gated_delta_torch_chunk(*inputs, 1.0)
    assert {x.data_ptr() for x in saved} == {x.data_ptr() for x in inputs}


@pytest.mark.parametrize("elements", [1, 2**12, 2**30])
def test_segments_do_not_change_the_result(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    *inputs, grad = [x.double() for x in sample("hard mixture", (2, 333, 2), 8, 8)]
    expected = [_forward(*inputs, 1.0), *_backward(grad, *inputs, 1.0)]
    monkeypatch.setitem(chunking.SEGMENT_ELEMENTS, "cpu", elements)
    found = [_forward(*inputs, 1.0), *_backward(grad, *inputs, 1.0)]
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-12)
