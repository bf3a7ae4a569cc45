import pytest
import timm
import torch
from torch.profiler import ProfilerActivity, profile

from vigbench.ops.attention import attention_modules, set_attention


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


def test_a_model_without_attention_and_an_unknown_name_are_refused() -> None:
    resnet = timm.create_model("resnet18")
    assert attention_modules(resnet) == []
    with pytest.raises(ValueError, match="has no timm attention"):
        set_attention(resnet, "sdpa")
    with pytest.raises(ValueError, match="sdpa"):
        set_attention(timm.create_model("deit_tiny_patch16_224"), "spda")
