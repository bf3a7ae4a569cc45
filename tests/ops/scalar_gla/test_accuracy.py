"""Any log-decay <= 0, any length: outputs and gradients to 2e-6 in float32 and 1e-12 in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ops.scalar_gla.inputs import REGIMES, differentiated, doubled, golden, sample, ssd_sample, worst_error
from vigbench.ops.gla import bidirectional_gla
from vigbench.ops.scalar_gla import bidirectional_retention, bidirectional_scalar_gla, retention, scalar_gla, ssd

IMPLEMENTATIONS = ("reference", "torch_chunk")
NAMES = ("q", "k", "v", "g_fwd", "g_bwd")
ALLOWED = {"mild_": {torch.float64: 1e-12, torch.float32: 2e-6}, "strong_": {torch.float64: 1e-12, torch.float32: 1e-5}}

each_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
each_dtype = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
each_prefix = pytest.mark.parametrize("prefix", ALLOWED)


@each_implementation
@each_dtype
@each_prefix
def test_golden_with_decays_of_tokens(prefix: str, dtype: torch.dtype, implementation: str) -> None:
    given_, expected = golden("retention", prefix, dtype), golden("retention", prefix)
    inputs = [given_[name] for name in NAMES]
    found = differentiated(bidirectional_scalar_gla, inputs, given_["do"], None, implementation)
    assert worst_error(found, [expected["o"], *(expected[f"d{name}"] for name in NAMES)]) <= ALLOWED[prefix][dtype]
    q, k, v, g_fwd, g_bwd = inputs
    one_way = [
        scalar_gla(q, k, v, g_fwd, implementation=implementation),
        scalar_gla(q, k, v, g_bwd, reverse=True, implementation=implementation),
    ]
    assert worst_error(one_way, [expected["o_fwd"], expected["o_bwd"]]) <= ALLOWED[prefix][dtype]


@each_implementation
@each_dtype
@pytest.mark.parametrize("direction", ["fwd", "rev"])
@each_prefix
def test_golden_with_decays_of_heads(prefix: str, direction: str, dtype: torch.dtype, implementation: str) -> None:
    given_, expected = golden("retention", prefix, dtype), golden("retention", f"{prefix}head_{direction}_")
    names = ("q", "k", "v", "log_decay")
    inputs = [given_[name] for name in names]
    found = differentiated(retention, inputs, given_["do"], None, direction == "rev", implementation)
    assert worst_error(found, [expected["o"], *(expected[f"d{name}"] for name in names)]) <= ALLOWED[prefix][dtype]


@each_implementation
@each_dtype
def test_golden_with_the_decays_of_the_paper(dtype: torch.dtype, implementation: str) -> None:
    given_, expected = golden("retention", "retention_", dtype), golden("retention", "retention_")
    inputs = [given_[name] for name in ("q", "k", "v")]
    found = differentiated(bidirectional_retention, inputs, given_["do"], None, None, implementation)
    assert worst_error(found, [expected[name] for name in ("o", "dq", "dk", "dv")]) <= ALLOWED["mild_"][dtype]
    for reverse, name in ((False, "o_fwd"), (True, "o_bwd")):
        one_way = retention(*inputs, reverse=reverse, implementation=implementation)
        assert worst_error([one_way], [expected[name]]) <= ALLOWED["mild_"][dtype]


@each_implementation
@each_dtype
@pytest.mark.parametrize("direction", ["fwd", "rev"])
@each_prefix
def test_golden_of_ssd(prefix: str, direction: str, dtype: torch.dtype, implementation: str) -> None:
    given_, expected = golden("ssd", prefix, dtype), golden("ssd", f"{prefix}{direction}_")
    names = ("x", "dt", "a", "b", "c", "d")
    inputs = [given_[name] for name in names]
    found = differentiated(ssd, inputs, given_["do"], direction == "rev", implementation)
    assert worst_error(found, [expected["o"], *(expected[f"d{name}"] for name in names)]) <= ALLOWED[prefix][dtype]


@each_dtype
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 197, 500])
@pytest.mark.parametrize("regime", REGIMES)
def test_every_decay_regime(regime: str, length: int, dtype: torch.dtype) -> None:
    *inputs, grad = [x.to(dtype) for x in sample(regime, (1, length, 2), 16, 24)]
    expected = differentiated(bidirectional_scalar_gla, doubled(inputs), grad.double(), None, "reference")
    found = differentiated(bidirectional_scalar_gla, inputs, grad, None, "torch_chunk")
    assert worst_error(found, expected) <= {torch.float32: 2e-6, torch.float64: 1e-12}[dtype]


@pytest.mark.slow
@each_dtype
@pytest.mark.parametrize("regime", REGIMES)
def test_long_sequences(regime: str, dtype: torch.dtype) -> None:
    *inputs, grad = [x.to(dtype) for x in sample(regime, (1, 4099, 2), 32, 64)]
    expected = differentiated(bidirectional_scalar_gla, doubled(inputs), grad.double(), None, "reference")
    found = differentiated(bidirectional_scalar_gla, inputs, grad, None, "torch_chunk")
    assert worst_error(found, expected) <= {torch.float32: 2e-6, torch.float64: 1e-12}[dtype]


@each_implementation
@pytest.mark.parametrize("regime", REGIMES)
def test_it_is_gla_whose_channels_decay_alike(regime: str, implementation: str) -> None:
    q, k, v, g_fwd, g_bwd, _ = (x.double() for x in sample(regime, (2, 70, 2), 8, 6))
    gates = [g.unsqueeze(-1).expand_as(q) for g in (g_fwd, g_bwd)]
    expected = bidirectional_gla(q, k, v, *gates, implementation="reference")
    found = bidirectional_scalar_gla(q, k, v, g_fwd, g_bwd, implementation=implementation)
    assert worst_error([found], [expected]) <= 1e-13


@each_implementation
def test_tiny_gradient_of_strong_decays_is_right(implementation: str) -> None:
    """With all decays near -20 that gradient is ~1e-9 of the others: only neighbours matter, in closed form."""
    q, k, v, g_fwd, g_bwd, grad = (x.double() for x in sample("strong", (1, 130, 2), 16, 24))
    g = g_fwd.float().requires_grad_()
    o = bidirectional_scalar_gla(q.float(), k.float(), v.float(), g, g_bwd.float(), 1.0, implementation)
    (dg,) = torch.autograd.grad(o, g, grad.float())
    neighbours = (grad[:, 1:] * v[:, :-1]).sum(-1) * (q[:, 1:] * k[:, :-1]).sum(-1) * g_fwd[:, 1:].exp() / 2
    assert dg[:, 0].abs().max() == 0
    assert neighbours.abs().max() < 1e-5
    assert (dg[:, 1:].double() - neighbours).abs().max() <= 2e-6 * neighbours.abs().max()


@each_implementation
@pytest.mark.parametrize("groups", [1, 2])
def test_heads_of_a_group_share_queries_and_keys(groups: int, implementation: str) -> None:
    x, dt, a, b, c, d, _ = (x.double() for x in ssd_sample(40, 4, groups))
    repeated = [y.repeat_interleave(4 // groups, 2) for y in (b, c)]
    expected = ssd(x, dt, a, *repeated, d, implementation=implementation)
    assert worst_error([ssd(x, dt, a, b, c, d, implementation=implementation)], [expected]) <= 1e-13


@each_implementation
@pytest.mark.parametrize("reverse", [False, True])
def test_ssd_is_scalar_gla_of_its_steps(reverse: bool, implementation: str) -> None:
    x, dt, a, b, c, d, _ = (x.double() for x in ssd_sample(40, 2, 2))
    expected = scalar_gla(c, b, dt.unsqueeze(-1) * x, dt * a, 1.0, reverse, implementation)
    assert worst_error([ssd(x, dt, a, b, c, None, reverse, implementation)], [expected]) <= 1e-14
    expected = expected + d.unsqueeze(-1) * x
    assert worst_error([ssd(x, dt, a, b, c, d, reverse, implementation)], [expected]) <= 1e-14


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
    q, k, v = (torch.randn(batch, length, heads, dim, dtype=torch.float64) for dim in (key_dim, key_dim, value_dim))
    g_fwd, g_bwd = (
        torch.nn.functional.logsigmoid(spread * torch.randn(batch, length, heads, dtype=torch.float64) + shift)
        for _ in range(2)
    )
    expected = bidirectional_scalar_gla(q, k, v, g_fwd, g_bwd, implementation="reference")
    found = bidirectional_scalar_gla(q, k, v, g_fwd, g_bwd, implementation="torch_chunk")
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


@each_implementation
def test_two_directions_are_the_mean_of_one_and_one(implementation: str) -> None:
    q, k, v, g_fwd, g_bwd, _ = (x.double() for x in sample("moderate", (2, 100, 2), 8, 8))
    both = [scalar_gla(q, k, v, g, None, n == 1, implementation) for n, g in enumerate((g_fwd, g_bwd))]
    found = bidirectional_scalar_gla(q, k, v, g_fwd, g_bwd, implementation=implementation)
    assert worst_error([found], [sum(both, torch.zeros(())) / 2]) <= 1e-13


@each_implementation
def test_reverse_is_the_mirror_image(implementation: str) -> None:
    inputs: list[Tensor] = [x.double() for x in sample("as initialised", (1, 150, 2), 8, 8)[:4]]
    mirrored = scalar_gla(*(x.flip(1) for x in inputs), implementation=implementation).flip(1)
    assert worst_error([scalar_gla(*inputs, reverse=True, implementation=implementation)], [mirrored]) <= 1e-13
