"""What is fused around ViG's operator on the CPU, in Triton's interpreter: run by test_interpreted.py."""

import os
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.anywhere import allow_anywhere
from vigbench.models.vig import CONFIGS, ViG
from vigbench.models.vig_h import CONFIGS as H_CONFIGS
from vigbench.models.vig_h import ViGH
from vigbench.ops.declaration import load_target
from vigbench.ops.registry import get_operator
from vigbench.ops.sample import Sample
from vigbench.subjects.catalog import fill_weights

ALLOWED = 2e-6
CPU = torch.device("cpu")
OPERATORS = ("conv_norm", "norm_conv", "gated_projection", "norm_swiglu")


def evaluated(sample: Sample, implementation: str, dtype: torch.dtype) -> list[Tensor]:
    """The output and all gradients."""
    leaves = [None if x is None else x.to(dtype).requires_grad_() for x in sample.inputs]
    out = sample.run(implementation, *leaves)
    grads = torch.autograd.grad(out, [x for x in leaves if x is not None], sample.grad.to(dtype))
    return [out.detach(), *grads]


@pytest.mark.parametrize("name", OPERATORS)
def test_as_defined(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32; half precision is run as compiled for a GPU (../test_block_simulated.py)."""
    operator = get_operator(name)
    empty, empty_like = torch.empty, torch.empty_like
    for sample in load_target(operator.samples)(CPU, torch.float32):
        expected = evaluated(sample, operator.reference, torch.float64)
        with monkeypatch.context() as patched:  # what a kernel leaves unwritten
            patched.setattr(torch, "empty", lambda *size, **how: empty(*size, **how).fill_(torch.nan))
            patched.setattr(torch, "empty_like", lambda x: empty_like(x).fill_(torch.nan))
            found = evaluated(sample, "triton_fused", torch.float32)
        for x, y in zip(found, expected, strict=True):
            assert x.dtype == torch.float32
            assert (x.double() - y).abs().max() <= ALLOWED * y.abs().max(), sample.name


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck(name: str) -> None:
    operator = get_operator(name)
    *_, sample = load_target(operator.samples)(CPU, torch.float32)
    leaves = [None if x is None else x.detach().requires_grad_() for x in sample.inputs]
    sample.run("triton_fused", *leaves)  # defines it
    numbers = (8, 1, 1e-6, True) if name == "conv_norm" else (1e-6, True)
    torch.library.opcheck(getattr(torch.ops.vigbench, name).default, (*leaves, *numbers))


def models() -> dict[str, nn.Module]:
    """Narrow ones of two blocks, with everything that the fused block takes from its surroundings."""
    plain = replace(CONFIGS["vig_tiny_patch16_224"], embed_dim=48, depth=2, num_classes=7)
    wide = replace(plain, embed_dim=320, num_heads=5, act=False, depth=1)
    staged = replace(H_CONFIGS["vig_h_tiny_patch4_224"], embed_dim=32, depths=(1, 1), num_classes=7)
    return {"ViG": ViG(plain), "wide ViG": ViG(wide), "ViG-H": ViGH(staged)}


@pytest.fixture(autouse=True)
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_anywhere(monkeypatch, "gla", "triton_block")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", list(models()))
def test_a_model_computes_the_same(name: str, training: bool) -> None:
    model = models()[name].train(training)
    fill_weights(model, 0)
    images = torch.randn(2, 3, 40, 56)
    outputs, gradients = [], []
    for implementation in ("triton_block", "reference"):
        model.set_implementation(implementation)  # type: ignore[operator]
        model.zero_grad()
        outputs.append(model(images))
        outputs[-1].square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    assert len(gradients[0]) == len(list(model.parameters()))
    for one, grad in gradients[1].items():
        torch.testing.assert_close(gradients[0][one], grad, rtol=1e-3, atol=1e-5 * float(grad.abs().max()), msg=one)


def test_a_resized_position_embedding_is_kept_until_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = models()["ViG"].eval(), []
    resize = ViG.resized_pos_embed
    monkeypatch.setattr(ViG, "resized_pos_embed", lambda *given: calls.append(given) or resize(*given))
    model.set_implementation("triton_block")  # type: ignore[operator]
    images, entries = torch.randn(1, 3, 48, 32), set(model.state_dict())
    with torch.no_grad():
        first = model(images)
        assert set(model.state_dict()) == entries
        assert torch.equal(model(images), first)
        assert len(calls) == 1
        model.pos_embed.add_(1.0)  # type: ignore[operator]
        assert not torch.equal(model(images), first)
    model(images).sum().backward()  # gradients reach it
    assert len(calls) == 3
    assert model.pos_embed.grad is not None


def test_dropped_paths_are_dropped() -> None:
    """The same ones, with the same seed."""
    model = ViG(replace(CONFIGS["vig_tiny_patch16_224"], embed_dim=48, depth=2, drop_path_rate=0.7)).train()
    fill_weights(model, 0)
    images, outputs = torch.randn(4, 3, 32, 32), []
    for implementation in ("triton_block", "reference"):
        model.set_implementation(implementation)
        torch.manual_seed(1)
        outputs.append(model(images))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ViG", "ViG-H"])
def test_torch_compile_takes_a_model_whole(name: str) -> None:
    model = models()[name]
    fill_weights(model, 0)
    model.set_implementation("triton_block")  # type: ignore[operator]
    images = torch.randn(1, 3, 32, 32)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), model(images))
    compiled(images).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_autocast_computes_in_half_precision_and_keeps_the_stream() -> None:
    model = models()["ViG"].eval()
    fill_weights(model, 0)
    images, outputs = torch.randn(1, 3, 32, 32), []
    for implementation in ("triton_block", "reference"):
        model.set_implementation(implementation)  # type: ignore[operator]
        with torch.autocast("cpu", torch.float16), torch.no_grad():
            outputs.append(model(images))
    assert outputs[0].dtype == outputs[1].dtype
    torch.testing.assert_close(*outputs, rtol=2e-2, atol=2e-2)
