"""What PyTorch asks of an operator: shapes without data, autograd, compile, mixed precision, strides, clear errors."""

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tests.ops.scalar_gla.inputs import differentiated, doubled, sample, ssd_sample
from vigbench.ops.scalar_gla import bidirectional_scalar_gla, retention, scalar_gla, ssd
from vigbench.ops.scalar_gla.reference import reference
from vigbench.ops.scalar_gla.torch_chunk import torch_chunk

OPERATORS = {"reference": reference, "torch_chunk": torch_chunk}

pytestmark = pytest.mark.parametrize("implementation", OPERATORS)


@pytest.fixture
def inputs() -> list[Tensor]:
    return sample("moderate", (2, 70, 2), 8, 6)[:5]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("gates", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("groups", [1, 2])
def test_opcheck(implementation: str, groups: int, gates: tuple[bool, bool]) -> None:
    q, k, v, *gs = [x.double().requires_grad_() for x in sample("moderate", (1, 5, 2), 2, 3, groups)[:5]]
    g_fwd, g_bwd = (g if present else None for g, present in zip(gs, gates, strict=True))
    torch.library.opcheck(OPERATORS[implementation], (q, k, v, g_fwd, g_bwd, 0.5))
    with torch.no_grad():
        backward = getattr(torch.ops.vigbench, f"scalar_gla_{implementation}_backward")
        torch.library.opcheck(backward, (v, q, k, v, g_fwd, g_bwd, 0.5))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("skip", [True, False])
def test_opcheck_of_ssd(implementation: str, skip: bool) -> None:
    *xs, d, grad = [x.double().requires_grad_() for x in ssd_sample(5, 2, 1)]
    given = (*xs, d if skip else None, True)
    torch.library.opcheck(getattr(torch.ops.vigbench, f"scalar_gla_{implementation}_ssd"), given)
    with torch.no_grad():
        backward = getattr(torch.ops.vigbench, f"scalar_gla_{implementation}_ssd_backward")
        torch.library.opcheck(backward, (grad, *given))


def test_gradcheck(implementation: str) -> None:
    leaves = [x.double().requires_grad_() for x in sample("moderate", (1, 6, 1), 2, 2)[:5]]
    leaves[3], leaves[4] = ((g.detach() - 0.1).requires_grad_() for g in leaves[3:])
    assert torch.autograd.gradcheck(lambda *x: bidirectional_scalar_gla(*x, None, implementation), leaves)


def test_gradcheck_of_ssd(implementation: str) -> None:
    leaves = [x.double().requires_grad_() for x in ssd_sample(5, 2, 1)[:6]]
    assert torch.autograd.gradcheck(lambda *x: ssd(*x, False, implementation), leaves)


def test_gradients_of_a_subset(implementation: str, inputs: list[Tensor]) -> None:
    inputs[1] = inputs[1].clone().requires_grad_()
    bidirectional_scalar_gla(*inputs, implementation=implementation).sum().backward()
    assert inputs[1].grad is not None
    assert inputs[1].grad.any()
    assert inputs[0].grad is None


def test_any_strides(implementation: str, inputs: list[Tensor]) -> None:
    grad = torch.randn(1, 1, 6).expand(2, 70, 2, 6)
    expected = differentiated(bidirectional_scalar_gla, inputs, grad.clone(), None, implementation)
    turned = [x.transpose(0, -1).contiguous().transpose(0, -1) for x in inputs]
    assert not any(x.is_contiguous() for x in turned)
    found = differentiated(bidirectional_scalar_gla, turned, grad, None, implementation)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(implementation: str, dtype: torch.dtype, inputs: list[Tensor]) -> None:
    half, grad = [x.to(dtype) for x in inputs], torch.randn(2, 70, 2, 6).to(dtype)
    found = differentiated(bidirectional_scalar_gla, half, grad, None, implementation)
    exact = differentiated(bidirectional_scalar_gla, doubled(half), grad.double(), None, implementation)
    for x, y in zip(found, exact, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= torch.finfo(dtype).eps * y.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_of_ssd_rounds_once(implementation: str, dtype: torch.dtype) -> None:
    *half, grad = [x.to(dtype) for x in ssd_sample(70, 2, 1)]
    found = differentiated(ssd, half, grad, False, implementation)
    exact = differentiated(ssd, doubled(half), grad.double(), False, implementation)
    for x, y in zip(found, exact, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= torch.finfo(dtype).eps * y.abs().max()


def test_half_precision_with_float32_decays(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, g, _ = inputs
    g.requires_grad_()
    o = scalar_gla(q.bfloat16(), k.bfloat16(), v.bfloat16(), g, implementation=implementation)
    o.sum().backward()
    assert o.dtype == torch.bfloat16
    assert g.grad is not None
    assert g.grad.dtype == torch.float32
    x, dt, a, b, c, d, _ = ssd_sample(9, 2, 1)
    halves = (x.bfloat16(), dt, a, b.bfloat16(), c.bfloat16(), d)
    assert ssd(*halves, implementation=implementation).dtype == torch.bfloat16


def test_autocast_mixes_dtypes_but_rounds_nothing_inside(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, g_fwd, g_bwd = inputs
    with torch.autocast("cpu", torch.bfloat16):
        o = bidirectional_scalar_gla(q.bfloat16(), k.bfloat16(), v, g_fwd, g_bwd, implementation=implementation)
    rounded = [q.bfloat16().float(), k.bfloat16().float(), v, g_fwd, g_bwd]
    assert torch.equal(o, bidirectional_scalar_gla(*rounded, implementation=implementation))


def test_shapes_without_data(implementation: str) -> None:
    q, k = (torch.empty(2, 10_000, 3, 16, device="meta", requires_grad=True) for _ in range(2))
    v, dt = torch.empty(2, 10_000, 3, 32, device="meta"), torch.empty(2, 10_000, 3, device="meta")
    o = bidirectional_scalar_gla(q, k, v, dt, dt, implementation=implementation)
    assert (o.shape, o.device.type) == (v.shape, "meta")
    assert torch.autograd.grad(o.sum(), q)[0].shape == q.shape
    y = ssd(v, dt, dt[0, 0], q, k, None, implementation=implementation)
    assert (y.shape, y.device.type) == (v.shape, "meta")


def test_one_token_and_no_images(implementation: str) -> None:
    q, k, v, g_fwd, g_bwd, _ = sample("moderate", (1, 1, 2), 4, 3)
    o = bidirectional_scalar_gla(q, k, v, g_fwd, g_bwd, 2.0, implementation)
    torch.testing.assert_close(o, 2 * (q * k).sum(-1, keepdim=True) * v)
    empty = [x[:0].expand(0, 5, *x.shape[2:]) for x in (q, k, v)]
    assert retention(*empty, implementation=implementation).shape == (0, 5, 2, 3)


def test_a_token_counts_once_in_ssd(implementation: str) -> None:
    x, dt, a, b, c, d, _ = ssd_sample(1, 2, 2)
    expected = dt.unsqueeze(-1) * (b * c).sum(-1, keepdim=True) * x + d.unsqueeze(-1) * x
    torch.testing.assert_close(ssd(x, dt, a, b, c, d, implementation=implementation), expected)


def test_the_profiler_sees_one_operator(implementation: str, inputs: list[Tensor]) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        bidirectional_scalar_gla(*inputs, implementation=implementation)
        ssd(*ssd_sample(9, 2, 1)[:6], implementation=implementation)
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts[f"vigbench::scalar_gla_{implementation}"] == 1
    assert counts[f"vigbench::scalar_gla_{implementation}_ssd"] == 1


@pytest.mark.slow
def test_compiles_without_graph_breaks(implementation: str, inputs: list[Tensor]) -> None:
    others = ssd_sample(9, 2, 1)[:6]

    def run(*xs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inputs, others = xs[:5], xs[5:]
        return (
            bidirectional_scalar_gla(*inputs, implementation=implementation),
            retention(*inputs[:3], implementation=implementation),
            ssd(*others, implementation=implementation),
        )

    expected = run(*inputs, *others)
    found = torch.compile(run, fullgraph=True, backend="aot_eager")(*inputs, *others)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)


def test_clear_errors(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, g_fwd, g_bwd = inputs

    def expect(message: str, *xs: Tensor) -> None:
        with pytest.raises(ValueError, match=message):
            bidirectional_scalar_gla(*xs, implementation=implementation)

    expect(r"q is \(70, 2, 8\): pass \(batch, length, heads, key_dim\)", q[0], k[0], v[0], g_fwd[0], g_bwd[0])
    expect("at least one of each", *(x[:, :0] for x in inputs))
    expect(r"k is \(2, 69, 2, 8\) but q is", q, k[:, 1:], v, g_fwd, g_bwd)
    expect(r"g_bwd is .*: pass \(batch, length, heads\)", q, k, v, g_fwd, g_bwd[..., 1:])
    expect(r"g_fwd is .*: pass \(batch, length, heads\)", q, k, v, q, g_bwd)
    expect("only the last dimension may differ", q, k, v[:, 1:], g_fwd, g_bwd)
    expect("v is torch.float64 but q is torch.float32", q, k, v.double(), g_fwd, g_bwd)
    expect("g_fwd is torch.float64 .* q's dtype or float32", q, k, v, g_fwd.double(), g_bwd)
    expect("q is torch.int64", q.long(), k.long(), v.long(), g_fwd, g_bwd)
    expect("g_bwd is on meta but q is on cpu", q, k, v, g_fwd, g_bwd.to("meta"))
    expect("a log-decay is 3, but states decay: pass values <= 0", q, k, v, g_fwd, torch.full_like(g_bwd, 3.0))
    with pytest.raises(ValueError, match=f"did you mean '{implementation}'"):
        bidirectional_scalar_gla(*inputs, implementation=implementation + "s")
    with pytest.raises(ValueError, match=r"log_decay is \(3,\), but q has 2 heads: pass one number a head"):
        retention(q, k, v, torch.zeros(3), implementation=implementation)
    with pytest.raises(ValueError, match=r"q is \(70, 2, 8\): pass"):
        retention(q[0], k[0], v[0], implementation=implementation)


def test_clear_errors_of_ssd(implementation: str) -> None:
    x, dt, a, b, c, d, _ = ssd_sample(9, 3, 1)

    def expect(message: str, *xs: Tensor) -> None:
        with pytest.raises(ValueError, match=message):
            ssd(*xs, implementation=implementation)

    expect(r"x is \(9, 3, 6\): pass \(batch, length, heads, head_dim\)", x[0], dt, a, b, c)
    expect(r"dt is \(1, 9\) but x is .*: pass \(batch, length, heads\)", x, dt[..., 0], a, b, c)
    expect(r"b is .* and c .*: pass \(batch, length, groups, state\)", x, dt, a, b, c[..., 1:])
    expect("3 heads are no multiple of 2 groups", x, dt, a, *(y.expand(1, 9, 2, 4) for y in (b, c)))
    expect(r"a is \(2,\) but x has 3 heads: pass one number a head", x, dt, a[1:], b, c)
    expect(r"d is \(1, 3\) but x has 3 heads", x, dt, a, b, c, d[None])
    expect("c is torch.float64 but x is torch.float32", x, dt, a, b, c.double())
    expect("d is torch.float64 .* x's dtype or float32", x, dt, a, b, c, d.double())
    expect("a is on meta but x is on cpu", x, dt, a.to("meta"), b, c)
    expect("for an SSD pass dt > 0 and a < 0", x, dt, -a, b, c)
