"""Any log-decay <= 0, any length: outputs and gradients to 2e-6 in float32 and 1e-12 in float64."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ops.gsa.inputs import as_defined, assert_close, evaluated, one_direction, sample
from vigbench.ops.gla import gla
from vigbench.ops.gsa import bidirectional_gsa, gsa

GOLDEN = Path(__file__).parents[2] / "golden" / "golden-gsa.npz"
IMPLEMENTATIONS = ("reference", "torch_chunk")
SCALES = {"mild": None, "strong": 1.0}
ALLOWED = {torch.float32: 2e-6, torch.float64: 1e-12}


def golden(prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{prefix}_"): torch.from_numpy(x) for key, x in np.load(GOLDEN).items() if prefix in key}


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("prefix", SCALES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_golden(implementation: str, prefix: str, dtype: torch.dtype) -> None:
    values = golden(prefix)
    names = ("q", "k", "v", "s_fwd", "s_bwd", "g_fwd", "g_bwd")
    inputs = [values[name].to(dtype) if name in values else None for name in names]
    expected = [values["o"], *(values[f"d{name}"] for name in names if name in values)]
    assert_close(evaluated(inputs, values["do"].to(dtype), implementation, SCALES[prefix]), expected, ALLOWED[dtype])


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_golden_of_one_direction(implementation: str, reverse: bool, dtype: torch.dtype) -> None:
    values = golden("strong")
    q, k, v, g, do = (values[name].to(dtype) for name in ("q", "k", "v", "g_fwd", "do"))
    way = "rev" if reverse else "fwd"
    expected = [values[f"{way}_{name}"] for name in ("o", "dq", "dk", "dv", "dg")]
    assert_close(one_direction([q, k, v, None, g], do, reverse, implementation), expected, ALLOWED[dtype])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_golden_outputs_of_each_direction(implementation: str) -> None:
    values = {name: x.double() for name, x in golden("mild").items()}
    q, k, v = (values[name] for name in ("q", "k", "v"))
    for way, reverse in (("fwd", False), ("bwd", True)):
        o = gsa(q, k, v, values[f"s_{way}"], values[f"g_{way}"], None, reverse, implementation)
        assert_close([o], [values[f"o_{way}"]], 1e-12)


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 197])
def test_every_decay_regime(regime: str, length: int, dtype: torch.dtype) -> None:
    inputs = [x.to(dtype) for x in sample(regime, (1, length, 2), 16, 24, 8)]
    as_defined(inputs, "torch_chunk", 2 * ALLOWED[dtype])


def test_reference_is_a_yardstick_in_float32(regime: str) -> None:
    as_defined(sample(regime, (2, 50, 1), 8, 4, 5), "reference", 1e-6)


@pytest.mark.slow
def test_long_sequences(regime: str) -> None:
    as_defined([x.double() for x in sample(regime, (1, 2051, 2), 32, 64, 32)], "torch_chunk", 1e-12)


@settings(max_examples=25)
@given(
    length=st.integers(1, 200),
    rows=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    key_dim=st.integers(1, 20),
    value_dim=st.integers(1, 20),
    slots=st.integers(1, 20),
    shift=st.floats(-30, 5),
    spread=st.floats(0, 8),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_decay(
    length: int,
    rows: tuple[int, int],
    key_dim: int,
    value_dim: int,
    slots: int,
    shift: float,
    spread: float,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    batch, heads = rows
    q, k, v, *gates = (
        torch.randn(batch, length, heads, dim, dtype=torch.float64)
        for dim in (key_dim, key_dim, value_dim, slots, slots)
    )
    gates = [torch.nn.functional.logsigmoid(spread * g + shift) for g in gates]
    expected, found = (bidirectional_gsa(q, k, v, None, None, *gates, implementation=name) for name in IMPLEMENTATIONS)
    assert_close([found], [expected], 1e-12)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_it_is_two_passes_of_linear_attention_and_a_softmax(implementation: str) -> None:
    """Logits by a sum over pairs of tokens, the rest by the other operator."""
    q, k, v, s, _, g, _, _ = (x.double() for x in sample("as trained", (2, 40, 2), 8, 6, 5))
    b = g.cumsum(1)
    decay = (b[:, :, None] - b[:, None]).masked_fill(torch.ones(40, 40).triu(1).bool()[..., None, None], -torch.inf)
    logits = torch.einsum("bihk,bjhk,bjhm,bijhm->bihm", q, k, s, decay.exp()) * 8**-0.5
    expected = gla(logits.softmax(-1), s, v, g, 1.0, implementation="reference")
    assert_close([gsa(q, k, v, s, g, implementation=implementation)], [expected], 1e-12)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_single_slot_is_read_whole(implementation: str) -> None:
    """A softmax over one slot is 1, whatever the logits: queries and keys do not matter."""
    q, k, v, s, _, g, _, grad = (x.double() for x in sample("moderate", (1, 70, 2), 4, 6, 1))
    o, dq, dk, *_ = one_direction([q, k, v, s, g], grad, False, implementation)
    assert_close([o], [gla(torch.ones_like(s), s, v, g, 1.0, implementation="reference")], 1e-12)
    assert dq.abs().max() <= 1e-12
    assert dk.abs().max() <= 1e-12


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_strengths_left_out_are_what_decay_leaves_free(implementation: str) -> None:
    q, k, v, _, _, g, _, grad = (x.double() for x in sample("hard mixture", (1, 70, 2), 4, 6, 3))
    s = -torch.expm1(g)
    o, dq, dk, dv, dg = one_direction([q, k, v, None, g], grad, False, implementation)
    expected, *others, ds, dg_alone = one_direction([q, k, v, s, g], grad, False, implementation)
    assert_close([o, dq, dk, dv, dg], [expected, *others, dg_alone - g.exp() * ds], 1e-12)


def test_weak_decays_write_without_cancellation() -> None:
    """1 - exp(-1e-6) has two digits in float32."""
    q, k, v, _, _, _, _, _ = sample("none", (1, 30, 1), 4, 3, 2)
    g = torch.full((1, 30, 1, 2), -1e-6) * torch.rand(1, 30, 1, 2)
    expected = gsa(q.double(), k.double(), v.double(), None, g.double(), implementation="reference")
    assert_close([gsa(q, k, v, None, g, implementation="torch_chunk")], [expected], 1e-6)


def test_two_directions_are_the_mean_of_one_and_one() -> None:
    q, k, v, s_fwd, s_bwd, g_fwd, g_bwd, _ = (x.double() for x in sample("moderate", (2, 100, 2), 8, 8, 6))
    expected = (gsa(q, k, v, s_fwd, g_fwd) + gsa(q, k, v, s_bwd, g_bwd, reverse=True)) / 2
    assert_close([bidirectional_gsa(q, k, v, s_fwd, s_bwd, g_fwd, g_bwd)], [expected], 1e-12)


def test_reverse_is_the_mirror_image() -> None:
    inputs = [x.double() for x in sample("as trained", (1, 150, 2), 8, 8, 6)]
    q, k, v, s, g = (inputs[n] for n in (0, 1, 2, 3, 5))
    expected = gsa(*(x.flip(1) for x in (q, k, v, s, g))).flip(1)
    assert_close([gsa(q, k, v, s, g, reverse=True)], [expected], 1e-12)
