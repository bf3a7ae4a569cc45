"""What PyTorch asks of an operator: shapes without data, autograd, compile, mixed precision, strides, clear errors."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from vigbench.ops.gla import bidirectional_gla, gla
from vigbench.ops.gla.reference import reference
from vigbench.ops.gla.torch_chunk import torch_chunk

IMPLEMENTATIONS = ("reference", "torch_chunk")
MakeInputs = Callable[..., list[Tensor]]

pytestmark = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


@pytest.fixture
def inputs(make_inputs: MakeInputs) -> list[Tensor]:
    return make_inputs("as trained", (2, 70, 2), 8, 6)[:5]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("gates", [(True, True), (True, False), (False, True)])
def test_opcheck(implementation: str, gates: tuple[bool, bool], make_inputs: MakeInputs) -> None:
    operator = {"reference": reference, "torch_chunk": torch_chunk}[implementation]
    q, k, v, *gs = [x.double().requires_grad_() for x in make_inputs("as trained", (1, 5, 1), 2, 3)[:5]]
    g_fwd, g_bwd = (g if present else None for g, present in zip(gs, gates, strict=True))
    torch.library.opcheck(operator, (q, k, v, g_fwd, g_bwd, 0.5))
    with torch.no_grad():
        torch.library.opcheck(
            getattr(torch.ops.vigbench, f"gla_{implementation}_backward"), (v, q, k, v, g_fwd, g_bwd, 0.5)
        )


def test_gradcheck(implementation: str, make_inputs: MakeInputs) -> None:
    inputs = [x.double().requires_grad_() for x in make_inputs("moderate", (1, 6, 1), 2, 2)[:5]]
    assert torch.autograd.gradcheck(lambda *x: bidirectional_gla(*x, implementation=implementation), inputs)


def test_gradients_of_a_subset(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, g_fwd, g_bwd = inputs
    k = k.clone().requires_grad_()
    bidirectional_gla(q, k, v, g_fwd, g_bwd, implementation=implementation).sum().backward()
    assert k.grad is not None
    assert k.grad.abs().sum() > 0
    assert q.grad is None


def test_any_strides(implementation: str, inputs: list[Tensor]) -> None:
    expected = bidirectional_gla(*inputs, implementation=implementation)
    strided = [x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0) for x in inputs]
    assert not any(x.is_contiguous() for x in strided)
    torch.testing.assert_close(bidirectional_gla(*strided, implementation=implementation), expected)
    q, k, v, g_fwd, g_bwd = inputs
    expanded = g_fwd[:, :1].expand_as(g_fwd)
    found = bidirectional_gla(q, k, v, expanded, g_bwd, implementation=implementation)
    torch.testing.assert_close(
        found, bidirectional_gla(q, k, v, expanded.clone(), g_bwd, implementation=implementation)
    )


def test_an_expanded_upstream_gradient(implementation: str, inputs: list[Tensor]) -> None:
    xs = [x.requires_grad_() for x in inputs]
    found = torch.autograd.grad(bidirectional_gla(*xs, implementation=implementation).sum(), xs)
    o = bidirectional_gla(*xs, implementation=implementation)
    expected = torch.autograd.grad(o, xs, torch.ones_like(o))
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(implementation: str, dtype: torch.dtype, inputs: list[Tensor]) -> None:
    half = [x.to(dtype).requires_grad_() for x in inputs]
    full = [x.detach().double().requires_grad_() for x in half]
    o, expected = (bidirectional_gla(*xs, implementation=implementation) for xs in (half, full))
    assert o.dtype == dtype
    assert (o.double() - expected).abs().max() <= torch.finfo(dtype).eps * expected.abs().max()
    grad = torch.randn_like(o)
    found, exact = torch.autograd.grad(o, half, grad), torch.autograd.grad(expected, full, grad.double())
    for x, y in zip(found, exact, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= torch.finfo(dtype).eps * y.abs().max()


def test_half_precision_with_float32_gates(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, g_fwd, g_bwd = inputs
    g_fwd.requires_grad_()
    o = bidirectional_gla(q.bfloat16(), k.bfloat16(), v.bfloat16(), g_fwd, g_bwd, implementation=implementation)
    o.sum().backward()
    assert o.dtype == torch.bfloat16
    assert g_fwd.grad is not None
    assert g_fwd.grad.dtype == torch.float32


def test_autocast_mixes_dtypes_but_rounds_nothing_inside(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, g_fwd, g_bwd = inputs
    with torch.autocast("cpu", torch.bfloat16):
        o = bidirectional_gla(q.bfloat16(), k.bfloat16(), v, g_fwd, g_bwd, implementation=implementation)
    rounded = [q.bfloat16().float(), k.bfloat16().float(), v, g_fwd, g_bwd]
    assert torch.equal(o, bidirectional_gla(*rounded, implementation=implementation))


def test_shapes_without_data(implementation: str) -> None:
    q, k, g = (torch.empty(2, 10_000, 3, 16, device="meta", requires_grad=True) for _ in range(3))
    v = torch.empty(2, 10_000, 3, 32, device="meta", dtype=torch.float32)
    o = bidirectional_gla(q, k, v, g, g, implementation=implementation)
    assert (o.shape, o.device.type) == (v.shape, "meta")
    assert torch.autograd.grad(o.sum(), q)[0].shape == q.shape


def test_one_token_and_no_images(implementation: str, make_inputs: MakeInputs) -> None:
    q, k, v, g_fwd, g_bwd, _ = make_inputs("moderate", (1, 1, 2), 4, 3)
    o = bidirectional_gla(q, k, v, g_fwd, g_bwd, 2.0, implementation)
    torch.testing.assert_close(o, 2 * (q * k).sum(-1, keepdim=True) * v)
    empty = [x[:0].repeat(1, 5, 1, 1) for x in (q, k, v, g_fwd, g_bwd)]
    assert bidirectional_gla(*empty, implementation=implementation).shape == (0, 5, 2, 3)


def test_profiler_sees_one_operator(implementation: str, inputs: list[Tensor]) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        bidirectional_gla(*inputs, implementation=implementation)
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts[f"vigbench::gla_{implementation}"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["auto", None])
def test_compiles_without_graph_breaks(implementation: str, name: str | None, inputs: list[Tensor]) -> None:
    chosen = name or implementation

    def run(*xs: Tensor) -> Tensor:
        return bidirectional_gla(*xs, implementation=chosen) + gla(*xs[:4], reverse=True, implementation=chosen)

    eager, compiled = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    expected, found = run(*eager), torch.compile(run, fullgraph=True)(*compiled)
    torch.testing.assert_close(found, expected)
    expected.sum().backward()
    found.sum().backward()
    for x, y in zip(compiled, eager, strict=True):
        torch.testing.assert_close(x.grad, y.grad)


def test_clear_errors(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, g_fwd, g_bwd = inputs

    def expect(message: str, *xs: Tensor) -> None:
        with pytest.raises(ValueError, match=message):
            bidirectional_gla(*xs, implementation=implementation)

    expect(r"q is \(70, 2, 8\): pass \(batch, length, heads, key_dim\)", q[0], k[0], v[0], g_fwd[0], g_bwd[0])
    expect("at least one of each", *(x[:, :0] for x in inputs))
    expect(r"k is \(2, 69, 2, 8\) but q is", q, k[:, 1:], v, g_fwd, g_bwd)
    expect("g_bwd is .* same shape", q, k, v, g_fwd, g_bwd[..., 1:])
    expect("only the last dimension may differ", q, k, v[:, 1:], g_fwd, g_bwd)
    expect("v is torch.float64 but q is torch.float32", q, k, v.double(), g_fwd, g_bwd)
    expect("g_fwd is torch.float64 .* q's dtype or float32", q, k, v, g_fwd.double(), g_bwd)
    expect("q is torch.int64", q.long(), k.long(), v.long(), g_fwd, g_bwd)
    expect("g_bwd is on meta but q is on cpu", q, k, v, g_fwd, g_bwd.to("meta"))
    with pytest.raises(ValueError, match=f"did you mean '{implementation}'"):
        bidirectional_gla(*inputs, implementation=implementation + "s")
