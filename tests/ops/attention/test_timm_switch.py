import copy

import pytest
import timm
import torch
from torch.profiler import ProfilerActivity, profile

from vigbench.ops import declaration
from vigbench.ops.attention import attention_modules, set_attention
from vigbench.ops.attention.softmax import eager
from vigbench.ops.registry import UnsupportedError


def operators(model: torch.nn.Module, image: torch.Tensor) -> set[str]:
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        model(image)
    return {event.key for event in profiler.key_averages()}


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_the_label_is_what_runs_and_the_result_is_the_same(name: str) -> None:
    model = timm.create_model(name).eval()
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    set_attention(model, "eager")
    assert "aten::_softmax" in operators(model, image)
    assert "aten::scaled_dot_product_attention" not in operators(model, image)
    with torch.inference_mode():
        eager = model(image)
        set_attention(model, "sdpa")
        fused = model(image)
    assert "aten::scaled_dot_product_attention" in operators(model, image)
    torch.testing.assert_close(fused, eager, rtol=1e-4, atol=1e-5)


PROOF = {
    "sdpa_flash": "aten::_scaled_dot_product_flash_attention_for_cpu",
    "sdpa_math": "aten::_scaled_dot_product_attention_math",
}
IMAGE = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def deit() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("deit_tiny_patch16_224", img_size=64, depth=2).eval()


@pytest.mark.parametrize("name", PROOF)
def test_a_pinned_backend_is_what_runs(name: str, deit: torch.nn.Module) -> None:
    with torch.inference_mode():
        expected = deit(IMAGE)
        set_attention(deit, name)
        torch.testing.assert_close(deit(IMAGE), expected)
    ran = operators(deit, IMAGE)
    assert PROOF[name] in ran
    assert not set(PROOF.values()) - {PROOF[name]} & ran
    set_attention(deit, "eager")
    assert "aten::scaled_dot_product_attention" not in operators(deit, IMAGE), "a later choice replaces an earlier one"


@pytest.mark.filterwarnings("ignore:.*kernel not used|Flash attention requires")
def test_a_backend_pinned_around_a_model_says_why_it_cannot(deit: torch.nn.Module) -> None:
    class Narrow(torch.nn.Module):
        """Keys narrower than values, which flash attention does not take."""

        fused_attn = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q = x[:, None]
            return torch.nn.functional.scaled_dot_product_attention(q[..., :4], q[..., :4], q)[:, 0]

    model = torch.nn.Sequential(Narrow())
    set_attention(model, "sdpa_flash")
    with torch.inference_mode(), pytest.raises(UnsupportedError, match=r"sdpa_flash.*same last dimension.*choose sdpa"):
        model(torch.randn(2, 5, 8))


def replace_attention(monkeypatch: pytest.MonkeyPatch, attend: object) -> None:
    """`flex` means `attend`, so that nothing need be compiled."""
    monkeypatch.setattr(declaration.Implementation, "load", lambda self: attend)


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "xcit_tiny_12_p16_224", "pvt_v2_b0"])
def test_any_function_takes_the_place_of_torch_s(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In models that call it as `F....` and as `torch.nn.functional....`; timm's own modules stay as they are."""
    shapes: list[tuple[int, ...]] = []

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        shapes.append(tuple(q.shape))
        return eager(q, k, v, scale)

    replace_attention(monkeypatch, attend)
    model = timm.create_model(name, img_size=64) if "pvt" not in name else timm.create_model(name)
    other = copy.deepcopy(model).eval()
    set_attention(model.eval(), "flex")
    set_attention(other, "eager")
    with torch.inference_mode():
        torch.testing.assert_close(model(IMAGE), other(IMAGE), rtol=1e-4, atol=1e-5)
        calls = len(shapes)
        assert calls == len(attention_modules(model))
        copied = copy.deepcopy(model)
        torch.testing.assert_close(copied(IMAGE), model(IMAGE))
    assert len(shapes) == 3 * calls
    assert "aten::scaled_dot_product_attention" not in operators(model, IMAGE)


def test_a_mask_is_refused_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_attention(monkeypatch, eager)
    swin = timm.create_model("swin_tiny_patch4_window7_224").eval()
    set_attention(swin, "flex")
    with torch.inference_mode(), pytest.raises(UnsupportedError, match=r"has a mask.*choose sdpa"):
        swin(torch.randn(1, 3, 224, 224))


def test_a_module_that_does_not_call_it_is_refused(deit: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(torch.nn.Module):
        fused_attn = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    replace_attention(monkeypatch, eager)
    with pytest.raises(UnsupportedError, match="does not call scaled_dot_product_attention"):
        set_attention(torch.nn.Sequential(Own()), "flex")


@pytest.mark.parametrize("name", ["sdpa_flash", "flex"])
def test_torch_compile_takes_a_switched_model_whole(
    name: str, deit: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "flex":  # another result than torch's own code would give
        replace_attention(monkeypatch, lambda q, k, v, scale: eager(q, k, v, 3 * scale))
    set_attention(deit, name)
    torch._dynamo.reset()
    with torch.inference_mode():
        compiled = torch.compile(deit, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(IMAGE), deit(IMAGE))


def test_a_model_without_attention_and_an_unknown_name_are_refused() -> None:
    resnet = timm.create_model("resnet18")
    assert attention_modules(resnet) == []
    with pytest.raises(ValueError, match="has no timm attention"):
        set_attention(resnet, "sdpa")
    with pytest.raises(ValueError, match="sdpa"):
        set_attention(timm.create_model("deit_tiny_patch16_224"), "spda")
