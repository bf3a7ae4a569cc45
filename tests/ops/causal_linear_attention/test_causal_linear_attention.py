"""Causal linear attention computes what is defined, both ways, in every implementation there is."""

import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vigbench.ops.causal_linear_attention import causal_linear_attention
from vigbench.ops.causal_linear_attention.external import fla
from vigbench.ops.causal_linear_attention.reference import reference
from vigbench.ops.causal_linear_attention.torch_chunk import torch_chunk
from vigbench.ops.gla import gla

IMPLEMENTATIONS = {"reference": reference, "torch_chunk": torch_chunk}

implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
senses = pytest.mark.parametrize("reverse", [False, True])


def make_inputs(
    length: int, key_dim: int, value_dim: int, rows: tuple[int, int] = (2, 3), dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """q, k, v and an upstream gradient."""
    rng = torch.Generator().manual_seed(0)
    dims = (key_dim, key_dim, value_dim, value_dim)
    shapes = [(rows[0], length, rows[1], dim) for dim in dims]
    return [torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype) for shape in shapes]


def by_definition(q: Tensor, k: Tensor, v: Tensor, reverse: bool) -> Tensor:
    scores = torch.einsum("blhk,bmhk->bhlm", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("bhlm,bmhv->blhv", scores.triu() if reverse else scores.tril(), v)


def differentiated(operator: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, grad: Tensor) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in (q, k, v)]
    o = operator(*leaves)
    return [o.detach(), *torch.autograd.grad(o, leaves, grad)]


@implementations
@senses
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 200])
def test_it_is_what_is_defined(length: int, reverse: bool, implementation: str) -> None:
    inputs = make_inputs(length, 8, 5)
    operator = partial(causal_linear_attention, reverse=reverse, implementation=implementation)
    found = differentiated(operator, *inputs)
    expected = differentiated(partial(by_definition, reverse=reverse), *inputs)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@senses
def test_other_precisions_round_once(reverse: bool, dtype: torch.dtype) -> None:
    inputs = make_inputs(500, 16, 24, dtype=dtype)
    found = differentiated(partial(causal_linear_attention, reverse=reverse), *inputs)
    expected = differentiated(partial(by_definition, reverse=reverse), *(x.double() for x in inputs))
    allowed = 2e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= allowed * y.abs().max()


@implementations
@senses
def test_it_is_gated_linear_attention_that_forgets_nothing(reverse: bool, implementation: str) -> None:
    q, k, v, _ = make_inputs(90, 8, 5)
    found = causal_linear_attention(q, k, v, 0.3, reverse, implementation)
    torch.testing.assert_close(found, gla(q, k, v, torch.zeros_like(q), 0.3, reverse), rtol=1e-11, atol=1e-12)


@settings(max_examples=15)
@given(
    length=st.integers(1, 300),
    rows=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    key_dim=st.integers(1, 20),
    value_dim=st.integers(1, 20),
    reverse=st.booleans(),
)
def test_any_shape(length: int, rows: tuple[int, int], key_dim: int, value_dim: int, reverse: bool) -> None:
    q, k, v, _ = make_inputs(length, key_dim, value_dim, rows)
    expected, found = (causal_linear_attention(q, k, v, reverse=reverse, implementation=one) for one in IMPLEMENTATIONS)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.slow
def test_a_long_sequence_in_several_segments() -> None:
    inputs = make_inputs(5000, 16, 64, dtype=torch.float32)
    found = differentiated(causal_linear_attention, *inputs)
    operator = partial(causal_linear_attention, implementation="reference")
    expected = differentiated(operator, *(x.double() for x in inputs))
    for x, y in zip(found, expected, strict=True):
        assert (x.double() - y).abs().max() <= 2e-6 * y.abs().max()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@implementations
@senses
def test_opcheck(reverse: bool, implementation: str) -> None:
    q, k, v = (x.requires_grad_() for x in make_inputs(5, 2, 3, (1, 2))[:3])
    torch.library.opcheck(IMPLEMENTATIONS[implementation], (q, k, v, 0.5, reverse))
    with torch.no_grad():
        backward = getattr(torch.ops.vigbench, f"causal_linear_attention_{implementation}_backward")
        torch.library.opcheck(backward, (v, q, k, v, 0.5, reverse))


@implementations
def test_what_it_costs(implementation: str) -> None:
    """Write and read; twice that for gradients."""
    q, k, v = (x.to("meta").requires_grad_() for x in make_inputs(100, 8, 6)[:3])
    with FlopCounterMode(display=False) as counter:
        o = causal_linear_attention(q, k, v, implementation=implementation)
        forward = counter.get_total_flops()
        o.sum().backward()
    assert forward == 2 * 2 * 3 * 100 * 2 * 8 * 6
    assert counter.get_total_flops() == 3 * forward


@implementations
def test_any_strides_and_no_images(implementation: str) -> None:
    q, k, v, _ = make_inputs(30, 8, 5)
    strided = [x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0) for x in (q, k, v)]
    compute = partial(causal_linear_attention, implementation=implementation)
    torch.testing.assert_close(compute(*strided), compute(q, k, v))
    empty = [x[:0].requires_grad_() for x in (q, k, v)]
    o = compute(*empty)
    assert o.shape == (0, 30, 3, 5)
    assert torch.autograd.grad(o.sum(), empty[0])[0].shape == (0, 30, 3, 8)


@implementations
@pytest.mark.slow
def test_compiles_without_graph_breaks(implementation: str) -> None:
    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return causal_linear_attention(q, k, v, reverse=True, implementation=implementation)

    inputs = make_inputs(30, 8, 5)
    expected, found = (differentiated(one, *inputs) for one in (run, torch.compile(run, fullgraph=True)))
    torch.testing.assert_close(found, expected)


def test_clear_errors() -> None:
    q, k, v, _ = make_inputs(30, 8, 5)
    with pytest.raises(ValueError, match=r"k is .* same shape"):
        causal_linear_attention(q, k[:, 1:], v)
    with pytest.raises(ValueError, match=r"v is torch.float32 but q is torch.float64"):
        causal_linear_attention(q, k, v.float())
    with pytest.raises(ValueError, match="did you mean 'torch_chunk'"):
        causal_linear_attention(q, k, v, implementation="torch_chunks")


@senses
def test_the_peer(reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for its package, which divides unless it is told not to."""

    def chunk_linear_attn(q: Tensor, k: Tensor, v: Tensor, scale: float, normalize: bool = True) -> tuple[Tensor, None]:
        assert not normalize
        return causal_linear_attention(q, k, v, scale), None

    package = ModuleType("fla.ops.linear_attn")
    package.chunk_linear_attn = chunk_linear_attn  # type: ignore[attr-defined]
    modules = {"fla": ModuleType("fla"), "fla.ops": ModuleType("fla.ops"), "fla.ops.linear_attn": package}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    q, k, v, _ = make_inputs(30, 8, 5)
    torch.testing.assert_close(fla(q, k, v, 0.5, reverse), causal_linear_attention(q, k, v, 0.5, reverse))
