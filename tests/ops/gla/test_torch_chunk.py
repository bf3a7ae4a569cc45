from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.measure.allocations import peak_bytes
from vigbench.ops.gla import bidirectional_gla, bidirectional_gla_low_rank
from vigbench.ops.gla import chunks as chunking
from vigbench.ops.gla.chunks import Chunks, chunk_size
from vigbench.ops.gla.torch_chunk import _backward, _forward

MakeInputs = Callable[..., list[Tensor]]


@pytest.mark.parametrize("backward", [False, True])
def test_memory_is_linear_in_length(backward: bool, make_inputs: MakeInputs) -> None:
    def peak(length: int) -> int:
        *inputs, grad = make_inputs("as initialised", (1, length, 3), 32, 64)
        return peak_bytes(lambda: _backward(grad, *inputs, 1.0) if backward else _forward(*inputs, 1.0))

    short, long = peak(2048), peak(8192)
    assert long <= 4.2 * short
    inputs_bytes = 8192 * 3 * (4 * 32 + 64) * 4
    assert long <= (6 if backward else 2) * inputs_bytes


def test_nothing_but_inputs_is_saved_for_the_backward(make_inputs: MakeInputs) -> None:
    inputs = [x.requires_grad_() for x in make_inputs("as initialised", (1, 300, 2), 8, 8)[:5]]
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        torch.ops.vigbench.gla_torch_chunk(*inputs, 1.0)
    assert {x.data_ptr() for x in saved} == {x.data_ptr() for x in inputs}


@pytest.mark.parametrize("elements", [1, 2**12, 2**30])
def test_segments_do_not_change_the_result(
    elements: int, make_inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    *inputs, grad = [x.double() for x in make_inputs("hard mixture", (2, 333, 2), 8, 8)]
    expected = [_forward(*inputs, 1.0), *_backward(grad, *inputs, 1.0)]
    monkeypatch.setitem(chunking.SEGMENT_ELEMENTS, "cpu", elements)
    found = [_forward(*inputs, 1.0), *_backward(grad, *inputs, 1.0)]
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-13)


@pytest.mark.parametrize("length", [1, 2, 3, 63, 64, 65, 1000])
def test_chunks_cover_the_sequence(length: int) -> None:
    v = torch.randn(2, length, 3, 5)
    chunks, out = Chunks(v), torch.full_like(v, torch.nan)
    assert (chunks.count - 1) * chunk_size(length) < length <= chunks.count * chunk_size(length)
    for segment in chunks.segments():
        loaded = chunks.load(v, segment)
        assert loaded.is_contiguous()
        chunks.store(out, segment, loaded)
    assert torch.equal(out, v)


def test_logits_of_low_rank_gates_are_gone_when_the_operator_runs() -> None:
    q, v, a = torch.randn(1, 4096, 3, 32), torch.randn(1, 4096, 3, 64), torch.randn(1, 4096, 16)
    weight, bias = torch.randn(2, 3, 32, 16), torch.randn(2, 3, 32)
    gates = torch.nn.functional.logsigmoid(torch.einsum("blr,dhkr->bldhk", a, weight) + bias) / 16

    def with_gates_given() -> Tensor:
        return bidirectional_gla(q, q, v, *gates.clone().unbind(2), implementation="torch_chunk")

    arguments = (q, q, v, a, weight, bias, 16.0)
    computed = peak_bytes(lambda: bidirectional_gla_low_rank(*arguments, implementation="torch_chunk"))
    assert computed <= peak_bytes(with_gates_given) + q.nbytes  # both directions' logits are twice that
