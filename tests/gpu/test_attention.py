"""Every attention on a GPU: as defined, by the backend that its name says, on its own and inside timm's models."""

import pytest
import timm
import torch

from vigbench.measure.path import record_path
from vigbench.ops.attention import set_attention
from vigbench.ops.registry import UnsupportedError, get_implementation, get_operator, list_implementations

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

NAMES = [one.name for one in list_implementations("attention")]


def supported(name: str, dtype: torch.dtype) -> None:
    if reason := get_implementation("attention", name).unsupported_reason("cuda", dtype):
        pytest.skip(reason)


@pytest.mark.parametrize("length", [1, 64, 197, 1025])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_output_and_gradients(name: str, causal: bool, length: int) -> None:
    supported(name, torch.bfloat16)
    attend = get_implementation("attention", name).load()
    inputs = [torch.randn(2, length, 3, 64, device="cuda").bfloat16().requires_grad_() for _ in range(3)]
    grad = torch.randn(2, length, 3, 64, device="cuda").bfloat16()
    try:
        out = attend(*inputs, 0.125, causal)
    except UnsupportedError as error:
        if length > 1:  # for one token cuDNN need not have a kernel
            raise
        pytest.skip(str(error))
    found = [out, *torch.autograd.grad(out, inputs, grad)]
    doubles = [x.detach().double().requires_grad_() for x in inputs]
    exact = get_implementation("attention", "eager").load()(*doubles, 0.125, causal)
    for x, y in zip(found, [exact, *torch.autograd.grad(exact, doubles, grad.double())], strict=True):
        assert (x.double() - y).abs().max() <= 3e-2 * y.abs().max().clamp(min=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_timm_model_computes_by_it_and_by_nothing_else(name: str) -> None:
    supported(name, torch.bfloat16)
    torch.manual_seed(0)
    model = timm.create_model("deit_tiny_patch16_224", depth=2).cuda().bfloat16().eval()
    image = torch.randn(2, 3, 224, 224, device="cuda").bfloat16()
    with torch.inference_mode():
        set_attention(model, "eager")
        expected = model(image)
        set_attention(model, name)
        torch.testing.assert_close(model(image), expected, rtol=5e-2, atol=5e-2)
        path = record_path(lambda: model(image), torch.device("cuda"))
    assert path.broken_promise(*get_operator("attention").promise(name, "cuda")) is None, path
