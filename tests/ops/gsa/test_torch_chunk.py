from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.measure.allocations import peak_bytes
from tests.ops.conftest import REGIMES
from tests.ops.gsa.inputs import assert_close, sample
from vigbench.ops.gla import chunks as chunking
from vigbench.ops.gla import intra
from vigbench.ops.gla.decay import Direction, arrival
from vigbench.ops.gsa.torch_chunk import _backward, _forward
from vigbench.ops.gsa.value_gate import gated_sums


@pytest.mark.parametrize("backward", [False, True])
def test_memory_is_linear_in_length(backward: bool) -> None:
    def peak(length: int) -> int:
        *inputs, grad = sample("as initialised", (1, length, 3), 32, 64, 32)
        return peak_bytes(lambda: _backward(grad, *inputs, 1.0) if backward else _forward(*inputs, 1.0))

    short, long = peak(2048), peak(8192)
    assert long <= 4.2 * short
    inputs_bytes = 8192 * 3 * (6 * 32 + 64) * 4
    assert long <= (4 if backward else 2) * inputs_bytes


def test_nothing_but_inputs_is_saved_for_the_backward() -> None:
    inputs = [x.requires_grad_() for x in sample("as initialised", (1, 300, 2), 8, 8, 4)[:7]]
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        torch.ops.vigbench.gsa_torch_chunk(*inputs, 1.0)
    assert {x.data_ptr() for x in saved} == {x.data_ptr() for x in inputs}


@pytest.mark.parametrize("elements", [1, 2**12, 2**30])
def test_segments_do_not_change_the_result(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    *inputs, grad = [x.double() for x in sample("hard mixture", (2, 333, 2), 8, 8, 4)]
    expected = [_forward(*inputs, 1.0), *_backward(grad, *inputs, 1.0)]
    monkeypatch.setitem(chunking.SEGMENT_ELEMENTS, "cpu", elements)
    assert_close([_forward(*inputs, 1.0), *_backward(grad, *inputs, 1.0)], expected, 1e-13)


@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
def test_sums_inside_a_block_are_those_over_pairs(
    regime: str, reverse: bool, branches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the decays of each block are looked at, or all blocks are halved, as on a GPU."""
    if not branches:
        monkeypatch.setattr("vigbench.ops.gsa.value_gate.BRANCHING_DEVICES", ())
    rng = torch.Generator().manual_seed(0)
    scores, s = (torch.randn(3, 16, dim, generator=rng, dtype=torch.float64) for dim in (16, 5))
    g = _gates(regime, rng)
    expected = torch.zeros_like(s)
    for i in range(16):
        decay, seen = torch.ones(3, 5, dtype=torch.float64), range(i, 16) if reverse else range(i, -1, -1)
        for j in seen:
            expected[:, i] += scores[:, i, j, None] * s[:, j] * decay
            decay *= g[:, j].exp()
    direction = Direction(g, reverse)
    assert_close([gated_sums(scores, s, direction, arrival(direction))], [expected], 1e-13)


def _gates(regime: str, rng: torch.Generator) -> Tensor:
    """Of three blocks of 16 tokens, the first one with none."""
    made: Callable[[Tensor, Tensor], Tensor] = REGIMES[regime]
    g = made(torch.randn(3, 16, 5, generator=rng), torch.rand(3, 16, 5, generator=rng)).double()
    g[0] = 0
    return g


def test_half_of_a_block_s_regimes_is_mild() -> None:
    """So that both ways, and blocks of either kind side by side, are among the tests above."""
    rng = torch.Generator().manual_seed(0)
    mild = [intra.is_mild([d], [arrival(d)]) for d in (Direction(_gates(regime, rng), False) for regime in REGIMES)]
    assert any(x.all() for x in mild)
    assert any(x.any() and not x.all() for x in mild)
