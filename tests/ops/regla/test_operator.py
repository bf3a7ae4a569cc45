"""What PyTorch asks of an operator: shapes without data, autograd, compile, mixed precision, strides, clear errors."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tests.ops.regla.inputs import make_inputs
from vigbench.ops.regla import bidirectional_regla, regla
from vigbench.ops.regla.reference import reference
from vigbench.ops.regla.torch_chunk import torch_chunk

IMPLEMENTATIONS = {"reference": reference, "torch_chunk": torch_chunk}

pytestmark = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


@pytest.fixture
def inputs() -> list[Tensor]:
    return make_inputs(70, 8, 6, dtype=torch.float32)[:7]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("directions", [(True, True), (True, False), (False, True)])
def test_opcheck(implementation: str, directions: tuple[bool, bool]) -> None:
    q, k, v, *logits, _ = make_inputs(5, 2, 3, rows=(1, 1))
    given = [x if present else None for x, present in zip(logits, (d for d in directions for _ in "xy"), strict=True)]
    leaves = [None if x is None else x.requires_grad_() for x in (q, k, v, *given)]
    torch.library.opcheck(IMPLEMENTATIONS[implementation], (*leaves, 0.5))
    with torch.no_grad():
        torch.library.opcheck(getattr(torch.ops.vigbench, f"regla_{implementation}_backward"), (v, *leaves, 0.5))


def test_gradcheck(implementation: str) -> None:
    inputs = [x.requires_grad_() for x in make_inputs(6, 2, 2, rows=(1, 1))[:7]]
    assert torch.autograd.gradcheck(lambda *x: bidirectional_regla(*x, implementation=implementation), inputs)


def test_any_strides(implementation: str, inputs: list[Tensor]) -> None:
    expected = bidirectional_regla(*inputs, implementation=implementation)
    strided = [x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0) for x in inputs]
    assert not any(x.is_contiguous() for x in strided)
    torch.testing.assert_close(bidirectional_regla(*strided, implementation=implementation), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(implementation: str, dtype: torch.dtype, inputs: list[Tensor]) -> None:
    half = [x.to(dtype).requires_grad_() for x in inputs]
    full = [x.detach().double().requires_grad_() for x in half]
    o, expected = (bidirectional_regla(*xs, implementation=implementation) for xs in (half, full))
    assert o.dtype == dtype
    assert (o.double() - expected).abs().max() <= torch.finfo(dtype).eps * expected.abs().max()
    grad = torch.randn_like(o)
    found, exact = torch.autograd.grad(o, half, grad), torch.autograd.grad(expected, full, grad.double())
    for x, y in zip(found, exact, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= torch.finfo(dtype).eps * y.abs().max()


def test_half_precision_with_float32_logits(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, *logits = inputs
    logits[0].requires_grad_()
    o = bidirectional_regla(q.bfloat16(), k.bfloat16(), v.bfloat16(), *logits, implementation=implementation)
    o.sum().backward()
    assert o.dtype == torch.bfloat16
    assert logits[0].grad is not None
    assert logits[0].grad.dtype == torch.float32


def test_shapes_without_data(implementation: str) -> None:
    q, k, x, y = (torch.empty(2, 10_000, 3, 16, device="meta", requires_grad=True) for _ in range(4))
    v = torch.empty(2, 10_000, 3, 32, device="meta")
    o = regla(q, k, v, x, y, implementation=implementation)
    assert (o.shape, o.device.type) == (v.shape, "meta")
    assert torch.autograd.grad(o.sum(), y)[0].shape == q.shape


def test_what_it_costs(implementation: str) -> None:
    """Decay, write and read in each direction; twice that for gradients."""
    leaves = [x.to("meta").requires_grad_() for x in make_inputs(100, 8, 6, rows=(2, 3))[:7]]
    with FlopCounterMode(display=False) as counter:
        o = bidirectional_regla(*leaves, implementation=implementation)
        forward = counter.get_total_flops()
        o.sum().backward()
    assert forward == 2 * 2 * 3 * (2 * 100 * 3 * 8 * 6)
    assert counter.get_total_flops() == 3 * forward


def test_one_token_and_no_images(implementation: str) -> None:
    q, k, v, *logits, _ = make_inputs(1, 4, 3)
    o = bidirectional_regla(q, k, v, *logits, 2.0, implementation)
    scores = (q - q.amax(3, keepdim=True) + k - k.amax(3, keepdim=True)).exp().sum(-1, keepdim=True)
    torch.testing.assert_close(o, 2 * scores * v)
    empty = [x[:0].repeat(1, 5, 1, 1).requires_grad_() for x in (q, k, v, *logits)]
    o = bidirectional_regla(*empty, implementation=implementation)
    assert o.shape == (0, 5, 2, 3)
    assert torch.autograd.grad(o.sum(), empty[1])[0].shape == (0, 5, 2, 4)


@pytest.mark.slow
def test_compiles_without_graph_breaks(implementation: str, inputs: list[Tensor]) -> None:
    def run(*xs: Tensor) -> Tensor:
        one = regla(*xs[:5], reverse=True, implementation=implementation)
        return bidirectional_regla(*xs, implementation=implementation) + one

    eager, compiled = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    expected, found = run(*eager), torch.compile(run, fullgraph=True)(*compiled)
    torch.testing.assert_close(found, expected)
    expected.sum().backward()
    found.sum().backward()
    for x, y in zip(compiled, eager, strict=True):
        torch.testing.assert_close(x.grad, y.grad)


def test_clear_errors(implementation: str, inputs: list[Tensor]) -> None:
    q, k, v, x_fwd, y_fwd, x_bwd, y_bwd = inputs

    def expect(message: str, *xs: Tensor) -> None:
        with pytest.raises(ValueError, match=message):
            bidirectional_regla(*xs, implementation=implementation)

    expect(r"q is \(70, 2, 8\): pass \(batch, length, heads, key_dim\)", *(x[0] for x in inputs))
    expect("at least one of each", *(x[:, :0] for x in inputs))
    expect("y_bwd is .* same shape", q, k, v, x_fwd, y_fwd, x_bwd, y_bwd[..., 1:])
    expect("only the last dimension may differ", q, k, v[:, 1:], x_fwd, y_fwd, x_bwd, y_bwd)
    expect("v is torch.float64 but q is torch.float32", q, k, v.double(), x_fwd, y_fwd, x_bwd, y_bwd)
    expect("y_fwd is torch.float64 .* q's dtype or float32", q, k, v, x_fwd, y_fwd.double(), x_bwd, y_bwd)
    expect("x_bwd is on meta but q is on cpu", q, k, v, x_fwd, y_fwd, x_bwd.to("meta"), y_bwd)
    with pytest.raises(ValueError, match=f"did you mean '{implementation}'"):
        bidirectional_regla(*inputs, implementation=implementation + "s")
