"""Any log-decay <= 0, any length: outputs and gradients to 1e-6 in float32 and 1e-12 in float64."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vigbench.ops.gla import bidirectional_gla, gla

GOLDEN = Path(__file__).parents[2] / "golden" / "golden-bidirectional-gla.npz"
IMPLEMENTATIONS = ("reference", "torch_chunk")
Check = Callable[..., None]
MakeInputs = Callable[..., list[Tensor]]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_golden(implementation: str) -> None:
    golden = {key: torch.from_numpy(x).double().transpose(1, 2) for key, x in np.load(GOLDEN).items()}
    inputs = [golden[key].requires_grad_() for key in ("q", "k", "v", "gf", "gb")]
    o = bidirectional_gla(*inputs, implementation=implementation)
    assert_close(o, golden["o"])
    for x, key in zip(torch.autograd.grad(o, inputs, golden["do"]), ("dq", "dk", "dv", "dgf", "dgb"), strict=True):
        assert_close(x, golden[key])
    q, k, v, g_fwd, g_bwd = inputs
    assert_close(gla(q, k, v, g_fwd, implementation=implementation), golden["o_fwd"])
    assert_close(gla(q, k, v, g_bwd, reverse=True, implementation=implementation), golden["o_bwd"])


def assert_close(x: Tensor, y: Tensor) -> None:
    assert (x - y).abs().max() <= 1e-12 * max(1.0, y.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 197, 500])
def test_every_decay_regime(
    regime: str, length: int, dtype: torch.dtype, check: Check, make_inputs: MakeInputs
) -> None:
    check(make_inputs(regime, (1, length, 2), 16, 24), "torch_chunk", dtype)


def test_reference_is_a_yardstick_in_float32(regime: str, check: Check, make_inputs: MakeInputs) -> None:
    check(make_inputs(regime, (2, 50, 1), 8, 4), "reference", torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_long_sequences(regime: str, dtype: torch.dtype, check: Check, make_inputs: MakeInputs) -> None:
    check(make_inputs(regime, (1, 4099, 2), 32, 64), "torch_chunk", dtype)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_tiny_gradient_of_strong_decays_is_right(implementation: str, make_inputs: MakeInputs) -> None:
    """With all decays at -20 that gradient is ~1e-9 of the others: only neighbours matter, in closed form."""
    q, k, v, g_fwd, g_bwd, grad = (x.double() for x in make_inputs("strong", (1, 130, 2), 16, 24))
    g = g_fwd.float().requires_grad_()
    o = bidirectional_gla(q.float(), k.float(), v.float(), g, g_bwd.float(), 1.0, implementation)
    (dg,) = torch.autograd.grad(o, g, grad.float())
    neighbours = (grad[:, 1:] * v[:, :-1]).sum(-1, keepdim=True) * q[:, 1:] * k[:, :-1] * np.exp(-20) / 2
    assert dg[:, 0].abs().max() == 0
    assert neighbours.abs().max() < 1e-5
    assert (dg[:, 1:].double() - neighbours).abs().max() <= 1e-6 * neighbours.abs().max()


@settings(max_examples=25)
@given(
    length=st.integers(1, 300),
    rows=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    key_dim=st.integers(1, 20),
    value_dim=st.integers(1, 20),
    shift=st.floats(-30, 5),
    spread=st.floats(0, 8),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_decay(
    length: int, rows: tuple[int, int], key_dim: int, value_dim: int, shift: float, spread: float, seed: int
) -> None:
    torch.manual_seed(seed)
    batch, heads = rows
    q, k, g_fwd, g_bwd = (torch.randn(batch, length, heads, key_dim, dtype=torch.float64) for _ in range(4))
    v = torch.randn(batch, length, heads, value_dim, dtype=torch.float64)
    g_fwd, g_bwd = (torch.nn.functional.logsigmoid(spread * g + shift) for g in (g_fwd, g_bwd))
    expected = bidirectional_gla(q, k, v, g_fwd, g_bwd, implementation="reference")
    found = bidirectional_gla(q, k, v, g_fwd, g_bwd, implementation="torch_chunk")
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_without_decay_it_is_plain_linear_attention(implementation: str) -> None:
    q, k, v = (torch.randn(2, 90, 2, dim, dtype=torch.float64) for dim in (8, 8, 5))
    zeros = torch.zeros_like(q)
    o = bidirectional_gla(q, k, v, zeros, zeros, 1.0, implementation)
    scores = torch.einsum("blhd,bmhd->bhlm", q, k)
    scores = (scores + scores.diagonal(dim1=2, dim2=3).diag_embed()) / 2
    assert_close(o, torch.einsum("bhlm,bmhv->blhv", scores, v))


def test_two_directions_are_the_mean_of_one_and_one(make_inputs: MakeInputs) -> None:
    q, k, v, g_fwd, g_bwd, _ = (x.double() for x in make_inputs("moderate", (2, 100, 2), 8, 8))
    expected = (gla(q, k, v, g_fwd) + gla(q, k, v, g_bwd, reverse=True)) / 2
    assert_close(bidirectional_gla(q, k, v, g_fwd, g_bwd), expected)


def test_reverse_is_the_mirror_image(make_inputs: MakeInputs) -> None:
    q, k, v, g, _, _ = (x.double() for x in make_inputs("as trained", (1, 150, 2), 8, 8))
    assert_close(gla(q, k, v, g, reverse=True), gla(q.flip(1), k.flip(1), v.flip(1), g.flip(1)).flip(1))
