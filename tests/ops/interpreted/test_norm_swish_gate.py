"""The fused norm and its gate on the CPU, in Triton's interpreter: run by test_interpreted.py."""

import os

import pytest
import torch
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from torch.utils.flop_counter import FlopCounterMode

from vigbench.ops.cost import SPECIAL_FUNCTIONS
from vigbench.ops.norm_swish_gate import norm_swish_gate

ALLOWED = {torch.float32: 1e-6, torch.float16: 2e-3}


def evaluated(inputs: list[Tensor], grad: Tensor, fused: bool) -> list[Tensor]:
    """The output and all gradients."""
    o, gate, weight = (x.detach().requires_grad_() for x in inputs)
    out = norm_swish_gate(o, gate, weight, 1e-6, fused)
    return [out.detach(), *torch.autograd.grad(out, (o, gate, weight), grad)]


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize(("tokens", "dim"), [(1, 32), (130, 64), (3, 24), (5, 128)])
def test_as_defined(tokens: int, dim: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(tokens)
    o, gate, grad = (torch.randn(2, tokens, 3, dim).to(dtype) for _ in range(3))
    inputs = [o, gate, 1 + torch.randn(dim).to(dtype) / 4]
    expected = evaluated([x.double() for x in inputs], grad.double(), fused=False)
    empty_like = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda x: empty_like(x).fill_(torch.nan))
    for x, y in zip(evaluated(inputs, grad, fused=True), expected, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= ALLOWED[dtype] * y.abs().max()


def test_the_definition() -> None:
    """Written out, which plain PyTorch's functions are not."""
    o, gate, weight = torch.randn(2, 3, 2, 8).double(), torch.randn(2, 3, 2, 8).double(), torch.randn(8).double()
    expected = o * (o.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * weight * gate / (1 + (-gate).exp())
    torch.testing.assert_close(norm_swish_gate(o, gate, weight, 1e-6, fused=False), expected)


@pytest.mark.parametrize("fused", [False, True])
def test_casts_and_leaves_what_it_is_given(fused: bool) -> None:
    o, gate, weight = torch.randn(1, 4, 2, 16).half(), torch.randn(1, 4, 2, 16), torch.ones(16)
    before = gate.clone()
    assert norm_swish_gate(o, gate, weight, 1e-6, fused).dtype == torch.float16
    assert torch.equal(gate, before)


def test_more_blocks_than_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each program of the backward sums several."""
    monkeypatch.setattr("vigbench.ops.norm_swish_gate.triton_fused.PROGRAMS", 3)
    o, gate, grad = (torch.randn(2, 130, 3, 64) for _ in range(3))
    inputs = [o, gate, torch.randn(64)]
    for x, y in zip(evaluated(inputs, grad, True), evaluated(inputs, grad, False), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-4)


def test_other_strides_and_an_expanded_gradient() -> None:
    o, gate = (torch.randn(2, 3, 20, 16).transpose(1, 2) for _ in range(2))
    inputs, grad = [o, gate, torch.ones(16)], torch.ones(1, 1, 1, 16).expand(2, 20, 3, 16)
    for x, y in zip(evaluated(inputs, grad, True), evaluated(inputs, grad, False), strict=True):
        torch.testing.assert_close(x, y)


def test_no_tokens() -> None:
    """Whose weight has a gradient of zeros."""
    inputs = [torch.randn(0, 4, 2, 16), torch.randn(0, 4, 2, 16), torch.ones(16)]
    out, *_, d_weight = evaluated(inputs, inputs[0], fused=True)
    assert out.shape == inputs[0].shape
    assert not d_weight.any()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
def test_opcheck() -> None:
    o, gate = (torch.randn(1, 4, 2, 8).requires_grad_() for _ in range(2))
    weight = torch.ones(8).requires_grad_()
    norm_swish_gate(o, gate, weight, 1e-6, fused=True)
    torch.library.opcheck(torch.ops.vigbench.norm_swish_gate.default, (o, gate, weight, 1e-6))


def test_cost() -> None:
    """No multiply-adds, one sigmoid an element, both ways."""
    o, weight = torch.randn(1, 4, 2, 8).requires_grad_(), torch.ones(8)
    with FlopCounterMode(display=False) as counter:
        norm_swish_gate(o, o, weight, 1e-6, fused=True).sum().backward()
    assert counter.get_total_flops() == 0
    shapes = (o.shape, o.shape, weight.shape, 1e-6)
    assert SPECIAL_FUNCTIONS[torch.ops.vigbench.norm_swish_gate](*shapes) == o.numel()
    assert SPECIAL_FUNCTIONS[torch.ops.vigbench.norm_swish_gate_backward](o.shape, *shapes) == o.numel()


def test_torch_compile_takes_it_whole() -> None:
    o, gate, weight = torch.randn(1, 4, 2, 16), torch.randn(1, 4, 2, 16), torch.ones(16)
    compiled = torch.compile(norm_swish_gate, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(o, gate, weight, 1e-6, True), norm_swish_gate(o, gate, weight, 1e-6, False))
