"""Bi-WKV's Triton kernels on a GPU: every length and size against float64, without a copy or a recompile."""

from functools import partial

import pytest
import torch
from torch import Tensor

import vigbench.models.vrwkv  # noqa: F401  registers the models
from tests.ops.biwkv.inputs import CASES, assert_close, differentiated, doubled, sample
from vigbench.ops.biwkv import bi_wkv
from vigbench.ops.biwkv.torch_scan import torch_scan
from vigbench.ops.dispatch import selected_implementation
from vigbench.subjects.catalog import create_model, fill_weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("poisoned_outputs"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

ALLOWED = {torch.float32: 5e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}  # 5000 float32 terms are summed in turn
LENGTHS = [1, 2, 7, 8, 15, 16, 17, 63, 64, 127, 196, 197, 509, 1024, 2048, 3136, 4093, 4096, 4999, 5000]
CANCELLING = "steep keys against the decay"  # of 1e4: a float32 key has no more digits
fused = partial(bi_wkv, implementation="triton_fused")


def on_gpu(case: str, shape: tuple[int, int, int], dtype: torch.dtype) -> list[Tensor]:
    return [x.cuda() for x in sample(case, shape, dtype)]


@pytest.mark.parametrize("dtype", ALLOWED)
def test_lengths(dtype: torch.dtype) -> None:
    for length in LENGTHS:
        inputs = on_gpu("as trained", (2, length, 192), dtype)
        assert_close(differentiated(fused, inputs), differentiated(torch_scan, doubled(inputs)), ALLOWED[dtype])


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("case", CASES)
def test_every_case(case: str, dtype: torch.dtype) -> None:
    for shape in ((1, 777, 100), (2, 5000, 64)):
        inputs = on_gpu(case, shape, dtype)
        allowed = max(1e-3, ALLOWED[dtype]) if case == CANCELLING else ALLOWED[dtype]
        assert_close(differentiated(fused, inputs), differentiated(torch_scan, doubled(inputs)), allowed)


@pytest.mark.parametrize("channels", [1, 3, 31, 33, 384, 768])
def test_channels(channels: int) -> None:
    inputs = on_gpu("as trained", (3, 130, channels), torch.float32)
    assert_close(differentiated(fused, inputs), differentiated(torch_scan, doubled(inputs)), ALLOWED[torch.float32])


def test_scan_on_the_gpu() -> None:
    inputs = on_gpu("as trained", (2, 777, 64), torch.float32)
    expected = differentiated(torch_scan, [x.cpu().double() for x in inputs])
    assert_close([x.cpu() for x in differentiated(torch_scan, inputs)], expected, ALLOWED[torch.float32])


def test_the_same_bits_again() -> None:
    inputs = on_gpu("as trained", (4, 1021, 192), torch.bfloat16)
    first, second = (differentiated(fused, inputs) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_auto_is_triton_except_in_float64() -> None:
    inputs = on_gpu("as trained", (1, 5, 8), torch.bfloat16)[:4]
    assert selected_implementation("biwkv", "auto", *inputs) == "triton_fused"
    assert selected_implementation("biwkv", "auto", *doubled(inputs)) == "torch_scan"


@pytest.mark.parametrize("size", [(224, 224), (250, 97)])
def test_the_model(size: tuple[int, int]) -> None:
    model = create_model("vrwkv_tiny_patch16_224", depth=2, num_classes=10).cuda()
    fill_weights(model, seed=0)
    images = torch.randn(2, 3, *size, device="cuda")
    gradients = []
    for name in ("triton_fused", "torch_scan"):
        model.set_implementation(name)
        model.zero_grad()
        model(images).square().mean().backward()
        gradients.append({key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None})
    assert len(gradients[0]) == len(list(model.parameters()))
    for key, x in gradients[0].items():
        assert (x - gradients[1][key]).norm() <= 1e-4 * gradients[1][key].norm() + 1e-7, key
