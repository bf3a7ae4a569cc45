"""Any log-decay <= 0, any strength, any length: outputs and gradients to 2e-6 in float32 and 1e-12 in float64."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ops.gated_delta.inputs import assert_as_defined, assert_close, evaluated, one_direction, sample
from vigbench.ops.gated_delta import bidirectional_gated_delta, gated_delta

GOLDEN = Path(__file__).parents[2] / "golden" / "golden-gated-delta.npz"
IMPLEMENTATIONS = ("reference", "torch_chunk")
ALLOWED = {torch.float32: 2e-6, torch.float64: 1e-12}


def golden(prefix: str) -> dict[str, Tensor]:
    """`mild` or `strong` inputs and results."""
    loaded = np.load(GOLDEN).items()
    return {key.removeprefix(f"{prefix}_"): torch.from_numpy(x) for key, x in loaded if key.startswith(prefix)}


def compared_with_golden(implementation: str, prefix: str, reverse: bool, dtype: torch.dtype, allowed: float) -> None:
    """Outputs and gradients of one direction."""
    values = golden(prefix)
    inputs = [values[name].to(dtype) for name in ("q", "k", "v", "g", "beta")]
    expected = [values[f"{'rev' if reverse else 'fwd'}_{name}"] for name in ("o", "dq", "dk", "dv", "dg", "dbeta")]
    assert_close(one_direction(inputs, values["do"].to(dtype), reverse, implementation), expected, allowed)


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("prefix", ["mild", "strong"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_golden(implementation: str, prefix: str, reverse: bool, dtype: torch.dtype) -> None:
    compared_with_golden(implementation, prefix, reverse, dtype, ALLOWED[dtype])


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 197])
def test_every_decay_regime(regime: str, length: int, dtype: torch.dtype) -> None:
    assert_as_defined([x.to(dtype) for x in sample(regime, (1, length, 2), 16, 24)], "torch_chunk", ALLOWED[dtype])


def test_reference_is_a_yardstick_in_float32(regime: str) -> None:
    assert_as_defined(sample(regime, (2, 50, 1), 8, 4), "reference", 1e-6)


@pytest.mark.slow
def test_long_sequences(regime: str) -> None:
    assert_as_defined([x.double() for x in sample(regime, (1, 2051, 2), 32, 64)], "torch_chunk", 1e-12)


@settings(max_examples=25)
@given(
    length=st.integers(1, 200),
    rows=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    key_dim=st.integers(1, 20),
    value_dim=st.integers(1, 20),
    shift=st.floats(-30, 5),
    spread=st.floats(0, 8),
    seed=st.integers(0, 1000),
)
def test_any_shape_decay_and_strength(
    length: int, rows: tuple[int, int], key_dim: int, value_dim: int, shift: float, spread: float, seed: int
) -> None:
    q, k, v, *_ = (x.double() for x in sample("none", (rows[0], length, rows[1]), key_dim, value_dim, seed))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, *q.shape[:3], generator=generator, dtype=torch.float64) * spread + shift
    gates = [*torch.nn.functional.logsigmoid(logits[:2]), *torch.sigmoid(logits[2:])]
    expected = bidirectional_gated_delta(q, k, v, *gates, implementation="reference")
    found = bidirectional_gated_delta(q, k, v, *gates, implementation="torch_chunk")
    assert (found - expected).abs().max() <= 1e-12 * max(1e-9, expected.abs().max())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_key_is_answered_with_the_value_last_written_under_it(implementation: str) -> None:
    """Full strength and no decay: the state is a table, and writing under a key replaces what was there."""
    keys = torch.eye(4, dtype=torch.float64)[[0, 1, 0, 2, 1]].view(1, 5, 1, 4)
    v, zeros = torch.randn(1, 5, 1, 3, dtype=torch.float64), torch.zeros(1, 5, 1, dtype=torch.float64)
    o = gated_delta(keys, keys, v, zeros, zeros + 1, 1.0, implementation=implementation)
    torch.testing.assert_close(o, v)
    asked = torch.eye(4, dtype=torch.float64)[[0, 0, 1, 1, 0]].view(1, 5, 1, 4)
    o = gated_delta(asked, keys, v, zeros, zeros + 1, 1.0, implementation=implementation)
    torch.testing.assert_close(o, v[:, [0, 0, 1, 1, 2]])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_nothing_is_remembered_beyond_a_decay_of_minus_infinity(implementation: str) -> None:
    *inputs, grad = (x.double() for x in sample("as trained", (1, 100, 2), 8, 6))
    q, k, v, g, _, beta, _ = inputs
    g[:, 70] = -torch.inf
    whole = gated_delta(q, k, v, g, beta, implementation=implementation)
    rest = gated_delta(*(x[:, 70:] for x in (q, k, v, g, beta)), implementation=implementation)
    torch.testing.assert_close(whole[:, 70:], rest, rtol=0, atol=1e-13)
    grads = one_direction([q, k, v, g, beta], grad, False, implementation)
    assert all(x.isfinite().all() for x in grads)
    assert grads[4][:, 70].abs().max() == 0


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_nothing_is_written_with_no_strength(implementation: str) -> None:
    q, k, v, g, _, beta, *_ = (x.double() for x in sample("as trained", (1, 80, 2), 8, 6))
    o = gated_delta(q, k, v, g, torch.zeros_like(beta), implementation=implementation)
    assert not o.any()


def test_two_directions_are_the_mean_of_one_and_one() -> None:
    q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd, _ = (x.double() for x in sample("moderate", (2, 100, 2), 8, 8))
    expected = gated_delta(q, k, v, g_fwd, beta_fwd) + gated_delta(q, k, v, g_bwd, beta_bwd, reverse=True)
    found = bidirectional_gated_delta(q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd)
    torch.testing.assert_close(found, expected / 2, rtol=0, atol=1e-13)


def test_reverse_is_the_mirror_image() -> None:
    q, k, v, g, _, beta, _, _ = (x.double() for x in sample("as trained", (1, 150, 2), 8, 8))
    found = gated_delta(q, k, v, g, beta, reverse=True)
    mirrored = gated_delta(*(x.flip(1) for x in (q, k, v, g, beta))).flip(1)
    torch.testing.assert_close(found, mirrored, rtol=0, atol=1e-13)


def test_keys_that_are_nearly_the_same() -> None:
    """The system of a chunk is then far from the identity: an inverse by powers would lose all digits."""
    q, k, *others = sample("none", (1, 130, 2), 16, 8)
    k = torch.nn.functional.normalize(k[:, :1] + 0.01 * k, dim=-1)
    others[-2].fill_(1.0)
    assert_as_defined([q, k, *others], "torch_chunk", 1e-5)
    assert evaluated([q, k, *others[:-1]], others[-1], "torch_chunk")[0].abs().max() < 100
