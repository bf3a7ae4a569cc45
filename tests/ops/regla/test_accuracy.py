"""Every implementation in PyTorch computes what is defined: goldens, any shape, strong decays, gradients of maxima."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ops.regla.inputs import NAMES, differentiated, largest_error, make_inputs
from vigbench.ops.gla import bidirectional_gla
from vigbench.ops.regla import bidirectional_regla, regla
from vigbench.ops.regla.features import log_decay

GOLDEN = {
    name: torch.from_numpy(x).double()
    for name, x in np.load(Path(__file__).parents[2] / "golden" / "golden-regla.npz").items()
}
IMPLEMENTATIONS = ("reference", "torch_chunk")
ALLOWED = {torch.float64: 1e-12, torch.float32: 2e-6}

implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


@implementations
@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("kind", ["mild", "strong"])
def test_golden_of_both_directions(kind: str, dtype: torch.dtype, implementation: str) -> None:
    inputs = [GOLDEN[f"{kind}_{name}"].to(dtype) for name in NAMES]
    operator = partial(bidirectional_regla, implementation=implementation)
    found = differentiated(operator, [*inputs], GOLDEN[f"{kind}_do"].to(dtype))
    expected = [GOLDEN[f"{kind}_{name}"] for name in ("o", *(f"d{name}" for name in NAMES))]
    assert largest_error(found, expected) <= ALLOWED[dtype]


@implementations
@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize(("direction", "reverse"), [("fwd", False), ("rev", True)])
def test_golden_of_one_direction(direction: str, reverse: bool, dtype: torch.dtype, implementation: str) -> None:
    inputs = [GOLDEN[f"strong_{name}"].to(dtype) for name in NAMES[:5]]
    operator = partial(regla, reverse=reverse, implementation=implementation)
    found = differentiated(operator, [*inputs], GOLDEN["strong_do"].to(dtype))
    expected = [GOLDEN[f"strong_{direction}_{name}"] for name in ("o", "dq", "dk", "dv", "dx", "dy")]
    assert largest_error(found, expected) <= ALLOWED[dtype]


@pytest.mark.parametrize("kind", ["mild", "strong"])
def test_golden_of_log_decays(kind: str) -> None:
    found = log_decay(GOLDEN[f"{kind}_x_fwd"], GOLDEN[f"{kind}_y_fwd"])
    torch.testing.assert_close(found, GOLDEN[f"{kind}_log_decay_fwd"], rtol=1e-9, atol=1e-15)


def test_the_gate_is_on_key_channels_and_not_on_value_channels() -> None:
    """The other reading of the paper is GLA with keys and values in each other's place: not what this computes."""
    q, k, v = (GOLDEN[f"mild_{name}"] for name in ("q", "k", "v"))
    phi_q, phi_k = (q - q.amax(3, keepdim=True)).exp(), (k - k.amax((1, 3), keepdim=True)).exp()
    g = log_decay(GOLDEN["mild_x_value"], GOLDEN["mild_y_value"])
    state, outputs = torch.zeros(*q.shape[:1], *q.shape[2:], v.shape[-1]).double(), []
    for t in range(q.shape[1]):
        state = state * g[:, t].exp().unsqueeze(-2) + phi_k[:, t].unsqueeze(-1) * v[:, t].unsqueeze(-2)
        outputs.append((phi_q[:, t].unsqueeze(-2) @ state).squeeze(-2))
    scale = 1 / (math.e * math.sqrt(8 * (math.e**2 - 1)))
    other = scale * torch.stack(outputs, 1)
    assert (other - GOLDEN["mild_o_value_gate"]).abs().max() <= 1e-12
    found = regla(q, k, v, GOLDEN["mild_x_fwd"], GOLDEN["mild_y_fwd"], implementation="reference")
    assert (found - other).abs().max() > 0.1 * other.abs().max()


@implementations
def test_it_is_gated_linear_attention_of_features(implementation: str) -> None:
    q, k, v, *logits, _ = make_inputs(90, 8, 5, rows=(2, 3))
    x_fwd, y_fwd, x_bwd, y_bwd = logits
    phi_q, phi_k = (q - q.amax(3, keepdim=True)).exp(), (k - k.amax((1, 3), keepdim=True)).exp()
    expected = bidirectional_gla(phi_q, phi_k, v, log_decay(x_fwd, y_fwd), log_decay(x_bwd, y_bwd), 0.3)
    found = bidirectional_regla(q, k, v, *logits, 0.3, implementation)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@implementations
def test_a_shift_of_all_keys_or_of_a_query_changes_nothing_and_so_has_no_gradient(implementation: str) -> None:
    *inputs, grad = make_inputs(40, 6, 4)
    operator = partial(bidirectional_regla, implementation=implementation)
    o, dq, dk, *_ = differentiated(operator, [*inputs], grad)
    q, k, *rest = inputs
    torch.testing.assert_close(operator(q + 700, k - 700, *rest), o)
    assert dq.sum(-1).abs().max() <= 1e-12
    assert dk.sum((1, 3)).abs().max() <= 1e-12


@implementations
def test_equal_maxima_share_the_gradient_equally(implementation: str) -> None:
    """As `torch.amax` has it: what rounding to half precision makes equal is treated alike."""
    q, k, v, x, y, _, _, grad = make_inputs(5, 4, 3, rows=(1, 1))
    q[..., :2], k[:, ::2, :, 1] = 9.0, 7.0

    def by_definition(q: Tensor, k: Tensor, *rest: Tensor) -> Tensor:
        return regla(q - q.amax(3, keepdim=True), k - k.amax((1, 3), keepdim=True), *rest, implementation="reference")

    found = differentiated(partial(regla, implementation=implementation), [q, k, v, x, y], grad)
    shifted = differentiated(by_definition, [q, k, v, x, y], grad)
    torch.testing.assert_close(found, shifted, rtol=1e-10, atol=1e-14)


@settings(max_examples=20)
@given(
    length=st.integers(1, 200),
    rows=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    key_dim=st.integers(1, 20),
    value_dim=st.integers(1, 20),
    spread=st.floats(0, 10),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_spread(
    length: int, rows: tuple[int, int], key_dim: int, value_dim: int, spread: float, seed: int
) -> None:
    *inputs, _ = make_inputs(length, key_dim, value_dim, spread, rows, seed=seed)
    expected, found = (bidirectional_regla(*inputs, implementation=one) for one in IMPLEMENTATIONS)
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ALLOWED)
def test_a_long_sequence(dtype: torch.dtype) -> None:
    """Errors of the largest key's gradient are those of a sum over all keys, which is large in some of the heads."""
    *inputs, grad = (x.to(dtype) for x in make_inputs(2049, 16, 24, rows=(2, 3)))
    found = differentiated(partial(bidirectional_regla, implementation="torch_chunk"), [*inputs], grad)
    operator = partial(bidirectional_regla, implementation="reference")
    expected = differentiated(operator, [x.double() for x in inputs], grad.double())
    assert largest_error(found, expected) <= ALLOWED[dtype]
