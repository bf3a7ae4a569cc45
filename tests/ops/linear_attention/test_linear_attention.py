"""Linear attention computes what is defined, with and without its norm, in every implementation there is."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vigbench.ops.draws import positive_feature
from vigbench.ops.linear_attention import linear_attention
from vigbench.ops.linear_attention.operator import EPS
from vigbench.ops.linear_attention.reference import reference
from vigbench.ops.linear_attention.torch_matmul import torch_matmul

IMPLEMENTATIONS = {"reference": reference, "torch_matmul": torch_matmul}

implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
norms = pytest.mark.parametrize("normalised", [False, True])


def make_inputs(
    length: int, key_dim: int, value_dim: int, rows: tuple[int, int] = (2, 3), dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Positive q and k, v, and an upstream gradient."""
    rng = torch.Generator().manual_seed(0)
    batch, heads = rows
    q, k, v, grad = (
        torch.randn(batch, length, heads, dim, generator=rng, dtype=torch.float64)
        for dim in (key_dim, key_dim, value_dim, value_dim)
    )
    return [x.to(dtype) for x in (positive_feature(q), positive_feature(k), v, grad)]


def by_definition(q: Tensor, k: Tensor, v: Tensor, normalised: bool) -> Tensor:
    """As MLLA has it: means over tokens, and a small number beside the one that divides."""
    state = torch.einsum("blhk,blhv->bhkv", k, v) / q.shape[1]
    o = torch.einsum("blhk,bhkv->blhv", q, state)
    if not normalised:
        return o * q.shape[1] * q.shape[-1] ** -0.5
    return o / (torch.einsum("blhk,bhk->blh", q, k.mean(1)) + EPS).unsqueeze(-1)


def differentiated(operator: object, q: Tensor, k: Tensor, v: Tensor, grad: Tensor) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in (q, k, v)]
    o = operator(*leaves)  # type: ignore[operator]
    return [o.detach(), *torch.autograd.grad(o, leaves, grad)]


@implementations
@norms
@pytest.mark.parametrize("length", [1, 2, 70, 300])
def test_it_is_what_is_defined(length: int, normalised: bool, implementation: str) -> None:
    inputs = make_inputs(length, 8, 5)
    found = differentiated(partial(linear_attention, normalised=normalised, implementation=implementation), *inputs)
    expected = differentiated(partial(by_definition, normalised=normalised), *inputs)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)


@implementations
@norms
@pytest.mark.parametrize(
    ("dtype", "allowed"), [(torch.float32, 2e-6), (torch.float16, 4e-3), (torch.bfloat16, 3e-2)], ids=str
)
def test_other_precisions(dtype: torch.dtype, allowed: float, normalised: bool, implementation: str) -> None:
    inputs = make_inputs(500, 16, 24, dtype=dtype)
    found = differentiated(partial(linear_attention, normalised=normalised, implementation=implementation), *inputs)
    expected = differentiated(partial(by_definition, normalised=normalised), *(x.double() for x in inputs))
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= allowed * y.abs().max()


def test_sums_over_many_tokens_do_not_overflow_float16() -> None:
    q, k, v = (torch.full((1, 3000, 1, 4), value).half() for value in (1.0, 30.0, 30.0))
    assert (k * v).double().sum(1).max() > torch.finfo(torch.float16).max
    compute = partial(linear_attention, q, k, v, implementation="torch_matmul")
    torch.testing.assert_close(compute(scale=1e-4), torch.full_like(v, 3000 * 30 * 30 * 4 * 1e-4))
    torch.testing.assert_close(compute(normalised=True), v)


@norms
@settings(max_examples=15)
@given(
    length=st.integers(1, 300),
    rows=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    key_dim=st.integers(1, 20),
    value_dim=st.integers(1, 20),
)
def test_any_shape(length: int, rows: tuple[int, int], key_dim: int, value_dim: int, normalised: bool) -> None:
    q, k, v, _ = make_inputs(length, key_dim, value_dim, rows)
    expected, found = (linear_attention(q, k, v, normalised, implementation=one) for one in IMPLEMENTATIONS)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


@implementations
def test_a_norm_makes_weights_that_sum_to_one(implementation: str) -> None:
    q, k, v, _ = make_inputs(50, 8, 5)
    ones = torch.ones_like(v)
    o = linear_attention(q, k, ones, normalised=True, implementation=implementation)
    torch.testing.assert_close(o, ones, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        linear_attention(7 * q, 7 * k, v, normalised=True, implementation=implementation),
        linear_attention(q, k, v, normalised=True, implementation=implementation),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@implementations
@norms
def test_opcheck(normalised: bool, implementation: str) -> None:
    q, k, v = (x.requires_grad_() for x in make_inputs(5, 2, 3, (1, 2))[:3])
    torch.library.opcheck(IMPLEMENTATIONS[implementation], (q, k, v, 0.5, normalised))
    with torch.no_grad():
        backward = getattr(torch.ops.vigbench, f"linear_attention_{implementation}_backward")
        torch.library.opcheck(backward, (v, q, k, v, 0.5, normalised))


@implementations
@norms
def test_what_it_costs(normalised: bool, implementation: str) -> None:
    """Write and read, and with the norm a query with the sum of keys; twice that for gradients."""
    q, k, v = (x.to("meta").requires_grad_() for x in make_inputs(100, 8, 6)[:3])
    with FlopCounterMode(display=False) as counter:
        o = linear_attention(q, k, v, normalised, implementation=implementation)
        forward = counter.get_total_flops()
        o.sum().backward()
    assert forward == 2 * 2 * 3 * 100 * 8 * (2 * 6 + normalised)
    assert counter.get_total_flops() == 3 * forward


@implementations
def test_any_strides_and_no_images(implementation: str) -> None:
    q, k, v, _ = make_inputs(30, 8, 5)
    strided = [x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0) for x in (q, k, v)]
    for normalised in (False, True):
        expected = linear_attention(q, k, v, normalised, implementation=implementation)
        found = linear_attention(*strided, normalised, implementation=implementation)
        torch.testing.assert_close(found, expected)
        empty = [x[:0].requires_grad_() for x in (q, k, v)]
        o = linear_attention(*empty, normalised, implementation=implementation)
        assert o.shape == (0, 30, 3, 5)
        assert torch.autograd.grad(o.sum(), empty[0])[0].shape == (0, 30, 3, 8)


@implementations
@pytest.mark.slow
def test_compiles_without_graph_breaks(implementation: str) -> None:
    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        one, other = (linear_attention(q, k, v, each, implementation=implementation) for each in (False, True))
        return one + other

    inputs = make_inputs(30, 8, 5)
    expected, found = (differentiated(one, *inputs) for one in (run, torch.compile(run, fullgraph=True)))
    torch.testing.assert_close(found, expected)


@implementations
def test_clear_errors(implementation: str) -> None:
    q, k, v, _ = make_inputs(30, 8, 5)
    compute = partial(linear_attention, implementation=implementation)
    with pytest.raises(ValueError, match="a scale divides out where scores are normalised"):
        compute(q, k, v, normalised=True, scale=0.5)
    with pytest.raises(ValueError, match=r"k is .* same shape"):
        compute(q, k[:, 1:], v)
    with pytest.raises(ValueError, match=r"v is torch.float32 but q is torch.float64"):
        compute(q, k, v.float())
    with pytest.raises(ValueError, match=f"did you mean '{implementation}'"):
        linear_attention(q, k, v, implementation=implementation + "s")


def test_features_are_positive() -> None:
    x = torch.linspace(-10, 10, 101)
    assert (positive_feature(x) > 0).all()
