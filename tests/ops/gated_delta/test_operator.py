"""What PyTorch asks of an operator: shapes without data, autograd, compile, mixed precision, strides, clear errors."""

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tests.ops.gated_delta.inputs import evaluated, sample
from vigbench.ops.gated_delta import bidirectional_gated_delta, gated_delta
from vigbench.ops.gated_delta.interface import selected_implementation
from vigbench.ops.gated_delta.reference import reference
from vigbench.ops.gated_delta.torch_chunk import torch_chunk

IMPLEMENTATIONS = {"reference": reference, "torch_chunk": torch_chunk}

pytestmark = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


@pytest.fixture
def inputs() -> list[Tensor]:
    return sample("as trained", (2, 70, 2), 8, 6)[:7]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("ways", [(True, True), (True, False), (False, True)])
def test_opcheck(implementation: str, ways: tuple[bool, bool]) -> None:
    *xs, grad = (x.double() for x in sample("as trained", (1, 5, 1), 2, 3))
    given = [x.requires_grad_() if there else None for x, there in zip(xs, (True,) * 3 + 2 * ways, strict=True)]
    torch.library.opcheck(IMPLEMENTATIONS[implementation], (*given, 0.5))
    with torch.no_grad():
        operator = getattr(torch.ops.vigbench, f"gated_delta_{implementation}_backward")
        torch.library.opcheck(operator, (grad, *given, 0.5))


def test_gradcheck(implementation: str) -> None:
    inputs = [x.double().requires_grad_() for x in sample("moderate", (1, 6, 1), 2, 2)[:7]]
    assert torch.autograd.gradcheck(lambda *x: bidirectional_gated_delta(*x, implementation=implementation), inputs)


def test_gradients_of_a_subset(implementation: str, inputs: list[Tensor]) -> None:
    q, k, *others = inputs
    k.requires_grad_()
    bidirectional_gated_delta(q, k, *others, implementation=implementation).sum().backward()
    assert k.grad is not None
    assert k.grad.abs().sum() > 0
    assert q.grad is None


def test_any_strides(implementation: str, inputs: list[Tensor]) -> None:
    expected = bidirectional_gated_delta(*inputs, implementation=implementation)
    strided = [x.transpose(0, 2).contiguous().transpose(0, 2) for x in inputs]
    assert not any(x.is_contiguous() for x in strided)
    torch.testing.assert_close(bidirectional_gated_delta(*strided, implementation=implementation), expected)


def test_an_expanded_upstream_gradient(implementation: str, inputs: list[Tensor]) -> None:
    one = torch.ones(1, 1, 1, 1)
    found = evaluated(inputs, one.expand_as(inputs[2]), implementation)
    expected = evaluated(inputs, one.repeat(inputs[2].shape), implementation)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(implementation: str, dtype: torch.dtype, inputs: list[Tensor]) -> None:
    half = [x.to(dtype) for x in inputs]
    grad = torch.randn(inputs[2].shape).to(dtype)
    found = evaluated(half, grad, implementation)
    expected = evaluated([x.double() for x in half], grad.double(), implementation)
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= torch.finfo(dtype).eps * y.abs().max()


def test_half_precision_with_float32_gates(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, *gates = inputs
    grads = evaluated([q.bfloat16(), k.bfloat16(), v.bfloat16(), *gates], v.bfloat16(), implementation)
    assert [x.dtype for x in grads] == [torch.bfloat16] * 4 + [torch.float32] * 4


def test_autocast_mixes_dtypes_but_rounds_nothing_inside(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, *gates = inputs
    with torch.autocast("cpu", torch.bfloat16):
        o = bidirectional_gated_delta(q.bfloat16(), k.bfloat16(), v, *gates, implementation=implementation)
    rounded = [q.bfloat16().float(), k.bfloat16().float(), v, *gates]
    assert torch.equal(o, bidirectional_gated_delta(*rounded, implementation=implementation))


def test_shapes_without_data(implementation: str) -> None:
    q = torch.empty(2, 10_000, 3, 16, device="meta", requires_grad=True)
    v, g = torch.empty(2, 10_000, 3, 32, device="meta"), torch.empty(2, 10_000, 3, device="meta")
    o = bidirectional_gated_delta(q, q, v, g, g, g, g, implementation=implementation)
    assert (o.shape, o.device.type) == (v.shape, "meta")
    assert torch.autograd.grad(o.sum(), q)[0].shape == q.shape


def test_one_token_and_no_images(implementation: str) -> None:
    q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd, _ = sample("moderate", (1, 1, 2), 4, 3)
    o = bidirectional_gated_delta(q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd, 2.0, implementation)
    strength = (beta_fwd + beta_bwd).unsqueeze(-1)
    torch.testing.assert_close(o, strength * (q * k).sum(-1, keepdim=True) * v)
    empty = [x[:0] for x in sample("moderate", (1, 5, 2), 4, 3)]
    assert evaluated(empty[:7], empty[7], implementation)[0].shape == (0, 5, 2, 3)


def test_profiler_sees_one_operator(implementation: str, inputs: list[Tensor]) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        bidirectional_gated_delta(*inputs, implementation=implementation)
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts[f"vigbench::gated_delta_{implementation}"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["auto", None])
def test_compiles_without_graph_breaks(implementation: str, name: str | None, inputs: list[Tensor]) -> None:
    chosen = name or implementation

    def run(*xs: Tensor) -> Tensor:
        q, k, v, g, _, beta, _ = xs
        both = bidirectional_gated_delta(*xs, implementation=chosen)
        return both + gated_delta(q, k, v, g, beta, reverse=True, implementation=chosen)

    eager, compiled = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    expected, found = run(*eager), torch.compile(run, fullgraph=True)(*compiled)
    torch.testing.assert_close(found, expected)
    expected.sum().backward()
    found.sum().backward()
    for x, y in zip(compiled, eager, strict=True):
        torch.testing.assert_close(x.grad, y.grad)


def test_clear_errors(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, g, g_bwd, beta, beta_bwd = inputs

    def expect(message: str, *xs: Tensor) -> None:
        with pytest.raises(ValueError, match=message):
            gated_delta(*xs, implementation=implementation)

    expect(r"q is \(70, 2, 8\): pass \(batch, length, heads, key_dim\)", q[0], k[0], v[0], g[0], beta[0])
    expect("at least one of each", *(x[:, :0] for x in (q, k, v, g, beta)))
    expect(r"k is \(2, 69, 2, 8\) but q is .* same shape", q, k[:, 1:], v, g, beta)
    expect("only the last dimension may differ", q, k, v[:, 1:], g, beta)
    expect(r"g is \(2, 70, 2, 8\) but q is .* pass \(batch, length, heads\)", q, k, v, q, beta)
    expect(r"beta is \(2, 70, 1\) .* pass \(batch, length, heads\)", q, k, v, g, beta[..., :1])
    expect("v is torch.float64 but q is torch.float32", q, k, v.double(), g, beta)
    expect("beta is torch.float64 .* q's dtype or float32", q, k, v, g, beta.double())
    expect("q is torch.int64", q.long(), k.long(), v.long(), g, beta)
    expect("g is on meta but q is on cpu", q, k, v, g.to("meta"), beta)
    with pytest.raises(ValueError, match="beta_bwd is"):
        bidirectional_gated_delta(q, k, v, g, g_bwd, beta, beta_bwd[1:], implementation=implementation)
    with pytest.raises(ValueError, match=f"did you mean '{implementation}'"):
        gated_delta(q, k, v, g, beta, implementation=implementation + "s")


def test_what_is_selected(implementation: str, inputs: list[Tensor]) -> None:
    assert selected_implementation(implementation, *inputs) == implementation
    assert selected_implementation("auto", *inputs) == "torch_chunk"
