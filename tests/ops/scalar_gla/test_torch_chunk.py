import pytest
import torch

from tests.measure.allocations import peak_bytes
from tests.ops.scalar_gla.inputs import sample, worst_error
from vigbench.ops.gla import chunks as chunking
from vigbench.ops.scalar_gla.torch_chunk import _backward, _forward


@pytest.mark.parametrize("backward", [False, True])
def test_memory_is_linear_in_length(backward: bool) -> None:
    def peak(length: int) -> int:
        *inputs, grad = sample("as initialised", (1, length, 3), 32, 64)
        return peak_bytes(lambda: _backward(grad, *inputs, 1.0) if backward else _forward(*inputs, 1.0))

    short, long = peak(2048), peak(8192)
    assert long <= 4.2 * short
    inputs_bytes = 8192 * 3 * (2 * 32 + 64) * 4
    assert long <= (7 if backward else 3) * inputs_bytes


def test_nothing_but_inputs_is_saved_for_the_backward() -> None:
    inputs = [x.requires_grad_() for x in sample("as initialised", (1, 300, 2), 8, 8)[:5]]
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        torch.ops.vigbench.scalar_gla_torch_chunk(*inputs, 1.0)
    assert {x.data_ptr() for x in saved} == {x.data_ptr() for x in inputs}


@pytest.mark.parametrize("elements", [1, 2**12, 2**30])
def test_segments_do_not_change_the_result(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    *inputs, grad = [x.double() for x in sample("hard mixture", (2, 333, 4), 8, 8, 2)]
    expected = [_forward(*inputs, 1.0), *_backward(grad, *inputs, 1.0)]
    monkeypatch.setitem(chunking.SEGMENT_ELEMENTS, "cpu", elements)
    found = [_forward(*inputs, 1.0), *_backward(grad, *inputs, 1.0)]
    assert worst_error(found, expected) <= 1e-13
