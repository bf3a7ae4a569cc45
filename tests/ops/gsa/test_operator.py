"""What PyTorch asks of an operator: shapes without data, autograd, compile, mixed precision, strides, clear errors."""

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tests.ops.gsa.inputs import evaluated, sample
from vigbench.ops.gsa import bidirectional_gsa, gsa
from vigbench.ops.gsa.interface import measured_gsa
from vigbench.ops.gsa.reference import reference
from vigbench.ops.gsa.torch_chunk import torch_chunk

IMPLEMENTATIONS = {"reference": reference, "torch_chunk": torch_chunk}

pytestmark = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


@pytest.fixture
def inputs() -> list[Tensor]:
    return sample("as trained", (2, 70, 2), 8, 6, 5)[:7]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("ways", [(True, True), (True, False), (False, True)])
def test_opcheck(implementation: str, ways: tuple[bool, bool]) -> None:
    *xs, grad = (x.double() for x in sample("as trained", (1, 5, 1), 2, 3, 4))
    given = [x.requires_grad_() if present else None for x, present in zip(xs, (True,) * 3 + 2 * ways, strict=True)]
    torch.library.opcheck(IMPLEMENTATIONS[implementation], (*given, 0.5))
    with torch.no_grad():
        torch.library.opcheck(getattr(torch.ops.vigbench, f"gsa_{implementation}_backward"), (grad, *given, 0.5))


def test_gradcheck(implementation: str) -> None:
    inputs = [x.double().requires_grad_() for x in sample("moderate", (1, 6, 1), 2, 2, 3)[:7]]
    assert torch.autograd.gradcheck(lambda *x: bidirectional_gsa(*x, implementation=implementation), inputs)


def test_gradients_of_a_subset(implementation: str, inputs: list[Tensor]) -> None:
    q, k, *others = inputs
    k.requires_grad_()
    bidirectional_gsa(q, k, *others, implementation=implementation).sum().backward()
    assert k.grad is not None
    assert k.grad.abs().sum() > 0
    assert q.grad is None


def test_any_strides(implementation: str, inputs: list[Tensor]) -> None:
    expected = bidirectional_gsa(*inputs, implementation=implementation)
    strided = [x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0) for x in inputs]
    assert not any(x.is_contiguous() for x in strided)
    torch.testing.assert_close(bidirectional_gsa(*strided, implementation=implementation), expected)


def test_an_expanded_upstream_gradient(implementation: str, inputs: list[Tensor]) -> None:
    one = torch.ones(1, 1, 1, 1)
    found = evaluated([*inputs], one.expand_as(inputs[2]), implementation)
    expected = evaluated([*inputs], one.repeat(inputs[2].shape), implementation)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(implementation: str, dtype: torch.dtype, inputs: list[Tensor]) -> None:
    half = [x.to(dtype) for x in inputs]
    grad = torch.randn(half[2].shape).to(dtype)
    found = evaluated([*half], grad, implementation)
    expected = evaluated([x.double() for x in half], grad.double(), implementation)
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= torch.finfo(dtype).eps * y.abs().max()


def test_half_precision_with_float32_gates(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, _, _, g_fwd, g_bwd = inputs
    g_fwd.requires_grad_()
    halves = (q.bfloat16(), k.bfloat16(), v.bfloat16())
    o = bidirectional_gsa(*halves, None, None, g_fwd, g_bwd, implementation=implementation)
    o.sum().backward()
    assert o.dtype == torch.bfloat16
    assert g_fwd.grad is not None
    assert g_fwd.grad.dtype == torch.float32


def test_autocast_mixes_dtypes_but_rounds_nothing_inside(implementation: str, inputs: list[Tensor]) -> None:
    q, k, *others = inputs
    with torch.autocast("cpu", torch.bfloat16):
        o = bidirectional_gsa(q.bfloat16(), k.bfloat16(), *others, implementation=implementation)
    rounded = [q.bfloat16().float(), k.bfloat16().float(), *others]
    assert torch.equal(o, bidirectional_gsa(*rounded, implementation=implementation))


def test_shapes_without_data(implementation: str) -> None:
    q, v, g = (torch.empty(2, 10_000, 3, dim, device="meta", requires_grad=True) for dim in (16, 32, 8))
    o = measured_gsa(q, q, v, g, g, implementation)
    assert (o.shape, o.device.type) == (v.shape, "meta")
    assert torch.autograd.grad(o.sum(), g)[0].shape == g.shape


def test_one_token_and_no_images(implementation: str) -> None:
    q, k, v, s_fwd, s_bwd, g_fwd, g_bwd, _ = sample("moderate", (1, 1, 2), 4, 3, 5)
    o = bidirectional_gsa(q, k, v, s_fwd, s_bwd, g_fwd, g_bwd, 2.0, implementation)
    logits = [2 * (q * k).sum(-1, keepdim=True) * s for s in (s_fwd, s_bwd)]
    shares = [(x.softmax(-1) * s).sum(-1, keepdim=True) for x, s in zip(logits, (s_fwd, s_bwd), strict=True)]
    torch.testing.assert_close(o, (shares[0] + shares[1]) / 2 * v)
    empty = [x[:0].repeat(1, 5, 1, 1).requires_grad_() for x in (q, k, v, s_fwd, s_bwd, g_fwd, g_bwd)]
    o = bidirectional_gsa(*empty, implementation=implementation)
    o.sum().backward()
    assert o.shape == (0, 5, 2, 3)


def test_profiler_sees_one_operator(implementation: str, inputs: list[Tensor]) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        bidirectional_gsa(*inputs, implementation=implementation)
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts[f"vigbench::gsa_{implementation}"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["auto", None])
def test_compiles_without_graph_breaks(implementation: str, name: str | None, inputs: list[Tensor]) -> None:
    chosen = name or implementation

    def run(*xs: Tensor) -> Tensor:
        q, k, v, _, s_bwd, _, g_bwd = xs
        return bidirectional_gsa(*xs, implementation=chosen) + gsa(q, k, v, s_bwd, g_bwd, None, True, chosen)

    eager, compiled = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    expected, found = run(*eager), torch.compile(run, fullgraph=True)(*compiled)
    torch.testing.assert_close(found, expected)
    expected.sum().backward()
    found.sum().backward()
    for x, y in zip(compiled, eager, strict=True):
        torch.testing.assert_close(x.grad, y.grad)


def test_clear_errors(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, s, _, g, _ = inputs

    def expect(message: str, q: Tensor, k: Tensor, v: Tensor, s: Tensor | None, g: Tensor) -> None:
        with pytest.raises(ValueError, match=message):
            gsa(q, k, v, s, g, implementation=implementation)
        with pytest.raises(ValueError, match=message.replace(r"\bs\b", r"s_fwd").replace(r"\bg\b", r"g_fwd")):
            bidirectional_gsa(q, k, v, s, None, g, inputs[6], implementation=implementation)

    expect(r"q is \(70, 2, 8\): pass \(batch, length, heads, key_dim\)", q[0], k[0], v[0], s[0], g[0])
    expect("at least one of each", *(x[:, :0] for x in (q, k, v, s, g)))
    expect(r"k is \(2, 69, 2, 8\) but q is", q, k[:, 1:], v, s, g)
    expect(r"v is .* only the last dimension may differ", q, k, v[:, 1:], s, g)
    expect(r"\bs\b is \(2, 69, 2, 5\) but q is .* only the last dimension", q, k, v, s[:, 1:], g)
    expect(r"\bg\b is \(2, 70, 1, 5\) but q is .* only the last dimension", q, k, v, s, g[:, :, :1])
    expect(r"slots are \{.*\}: give s and g", q, k, v, s[..., 1:], g)
    expect("v is torch.float64 but q is torch.float32", q, k, v.double(), s, g)
    expect(r"\bs\b is torch.float64 but q is torch.float32", q, k, v, s.double(), g)
    expect(r"\bg\b is torch.float64 .* q's dtype or float32", q, k, v, s, g.double())
    expect("q is torch.int64", q.long(), k.long(), v.long(), s, g)
    expect(r"\bg\b is on meta but q is on cpu", q, k, v, s, g.to("meta"))
    with pytest.raises(ValueError, match=r"slots are \{'s': 0, 'g': 0\}"):
        gsa(q, k, v, s[..., :0], g[..., :0], implementation=implementation)
    with pytest.raises(ValueError, match=f"did you mean '{implementation}'"):
        gsa(q, k, v, s, g, implementation=implementation + "s")
