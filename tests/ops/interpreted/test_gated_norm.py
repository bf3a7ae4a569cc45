"""The fused gated norm on the CPU, in Triton's interpreter: run by test_interpreted.py."""

import os

import pytest
import torch
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from triton.runtime import driver

from tests.ops.anywhere import allow_anywhere
from tests.ops.gla.compiling import NoGpu
from vigbench.models.vig import GatedLinearAttention2d
from vigbench.ops import launch_plan
from vigbench.ops.gated_norm import gated_norm
from vigbench.subjects.catalog import fill_weights

ALLOWED = {torch.float32: 1e-6, torch.float16: 2e-3}


def evaluated(inputs: list[Tensor], grad: Tensor, act: bool, fused: bool) -> list[Tensor]:
    """The output and all gradients."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    o, local, gate, *weights = leaves
    out = gated_norm(o, local, gate.clone(), *weights, 1e-6, act, fused)
    return [out.detach(), *torch.autograd.grad(out, leaves, grad)]


@pytest.mark.parametrize("act", [False, True])
@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize(("tokens", "dim"), [(1, 32), (130, 64), (3, 24)])
def test_as_defined(tokens: int, dim: int, dtype: torch.dtype, act: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(tokens)
    o, local, gate, grad = (torch.randn(2, tokens, 3, dim).to(dtype) for _ in range(4))
    inputs = [o, local, gate, *(1 + torch.randn(2, dim).to(dtype) / 4).unbind(0)]
    expected = evaluated([x.double() for x in inputs], grad.double(), act, fused=False)
    empty_like = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda x: empty_like(x).fill_(torch.nan))
    for x, y in zip(evaluated(inputs, grad, act, fused=True), expected, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= ALLOWED[dtype] * y.abs().max()


def test_other_strides_and_an_expanded_gradient() -> None:
    o, local, gate = (torch.randn(2, 3, 20, 16).transpose(1, 2) for _ in range(3))
    inputs, grad = [o, local, gate, torch.ones(16), torch.ones(16)], torch.ones(1, 1, 1, 16).expand(2, 20, 3, 16)
    pairs = zip(evaluated(inputs, grad, True, True), evaluated(inputs, grad, True, False), strict=True)
    for x, y in pairs:
        torch.testing.assert_close(x, y)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
def test_opcheck() -> None:
    inputs = [torch.randn(1, 4, 2, 8).requires_grad_() for _ in range(3)]
    weights = [torch.ones(8).requires_grad_() for _ in range(2)]
    gated_norm(*inputs, *weights, 1e-6, True, fused=True)
    torch.library.opcheck(torch.ops.vigbench.gated_norm.default, (*inputs, *weights, 1e-6, True))


@pytest.fixture
def mixer(monkeypatch: pytest.MonkeyPatch) -> GatedLinearAttention2d:
    """ViG's mixer, whose Triton implementations may run where the interpreter is."""
    allow_anywhere(monkeypatch, "gla", "triton_fused", "triton_unfused", "triton_recurrent")
    mixer = GatedLinearAttention2d(32, 2, act=True)
    fill_weights(mixer, 0)
    return mixer


def test_a_mixer_computes_the_same_with_fused_kernels(mixer: GatedLinearAttention2d) -> None:
    """Gates and norms inside Triton kernels against the reference."""
    x = torch.randn(1, 4, 5, 32)
    outputs, gradients = [], []
    for name in ("triton_fused", "reference"):
        mixer.implementation = name
        mixer.zero_grad()
        outputs.append(mixer(x))
        outputs[-1].square().mean().backward()
        gradients.append([p.grad.clone() for p in mixer.parameters() if p.grad is not None])
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-6)
    assert len(gradients[0]) == len(list(mixer.parameters()))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("implementation", ["triton_fused", "triton_unfused", "triton_recurrent"])
def test_torch_compile_takes_a_mixer_whole(mixer: GatedLinearAttention2d, implementation: str) -> None:
    mixer.implementation = implementation
    x = torch.randn(1, 4, 5, 32)
    compiled = torch.compile(mixer, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), mixer(x))
    if implementation != "triton_recurrent":  # it has no backward
        compiled(x).square().mean().backward()
        assert all(p.grad is not None and p.grad.any() for p in mixer.parameters())


def test_where_kernels_are_interpreted_there_are_no_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that has plans elsewhere."""
    o, local, gate, grad = (torch.randn(2, 5, 3, 32) for _ in range(4))
    inputs = [o, local, gate, torch.ones(32), torch.ones(32)]
    expected = evaluated(inputs, grad, True, fused=True)
    driver.set_active(NoGpu(90))
    monkeypatch.setattr(launch_plan, "DEVICES", ("cpu",))
    for _ in range(2):
        assert all(map(torch.equal, evaluated(inputs, grad, True, fused=True), expected))
