"""The selective scan and its convolution on a GPU: lengths and precisions against float64, and the models around."""

import pytest
import torch
from torch import Tensor

import vigbench
from tests.ops.causal_conv.definition import sample as conv_sample
from tests.ops.causal_conv.definition import worst_error
from tests.ops.scan.samples import NAMES, REGIMES, Sizes, errors, evaluate, sample
from vigbench.ops.registry import get_implementation
from vigbench.ops.scan import bidirectional_selective_scan, selective_scan

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("poisoned_outputs"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

ALLOWED = {torch.float32: 4e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
LENGTHS = [1, 2, 15, 16, 17, 31, 33, 197, 256, 509, 577, 1025, 2305, 4097]


def tokens_to(inputs: list[Tensor | None], dtype: torch.dtype) -> list[Tensor]:
    """A, D and the bias stay in float32, as in Vim."""
    return [x if i in (2, 5, 7) else x.to(dtype) for i, x in enumerate(inputs) if x is not None]


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dtype", ALLOWED)
def test_lengths(dtype: torch.dtype, regime: str) -> None:
    for length in LENGTHS:
        inputs = tokens_to(sample(regime, Sizes(2, 2, length, 40, 16), device="cuda"), dtype)
        grad = torch.randn(2, length, 40, device="cuda").to(dtype)
        found = evaluate(bidirectional_selective_scan, inputs, grad, True, "triton_fused")
        doubles = [x.double() for x in inputs]
        expected = evaluate(bidirectional_selective_scan, doubles, grad.double(), True, "torch_chunk")
        worst = errors(found, expected)
        assert max(worst.values()) <= ALLOWED[dtype], (length, worst)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("state", [1, 3, 8, 16, 64])
def test_one_direction_and_other_states(state: int, reverse: bool) -> None:
    if state == 1:
        pytest.skip("one state a channel lies at a stride of 1, which Triton up to 3.6 does not take")
    inputs = sample("no initial bias", Sizes(1, 2, 333, 24, state), device="cuda")
    inputs = [x if i == 6 or x is None else x[0] for i, x in enumerate(inputs)]
    grad = torch.randn(2, 333, 24, device="cuda")
    found = evaluate(selective_scan, inputs, grad, True, reverse, "triton_fused")
    doubles = [None if x is None else x.double() for x in inputs]
    expected = evaluate(selective_scan, doubles, grad.double(), True, reverse, "torch_chunk")
    assert max(errors(found, expected, NAMES).values()) <= ALLOWED[torch.float32]


def test_the_same_bits_again() -> None:
    inputs = tokens_to(sample("as initialised", Sizes(2, 4, 4097, 64, 16), device="cuda"), torch.bfloat16)
    grad = torch.randn(4, 4097, 64, device="cuda").bfloat16()
    first = evaluate(bidirectional_selective_scan, inputs, grad, True, "triton_fused")
    for _ in range(3):
        again = evaluate(bidirectional_selective_scan, inputs, grad, True, "triton_fused")
        assert all(torch.equal(x, y) for x, y in zip(again, first, strict=True))


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 2e-6), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_the_convolution(dtype: torch.dtype, allowed: float, channels_first: bool) -> None:
    for length in (1, 3, 31, 197, 1025):
        inputs, grad = conv_sample(2, length, 96, 4, dtype)
        inputs = [x.cuda() for x in inputs]
        assert worst_error(inputs, grad.cuda(), fused=True, channels_first=channels_first) <= allowed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_first", [False, True])
def test_the_package_s_kernel_computes_the_same(channels_first: bool, dtype: torch.dtype) -> None:
    if reason := get_implementation("scan", "mamba_ssm").unsupported_reason("cuda"):
        pytest.skip(reason)
    inputs = tokens_to(sample("as initialised", Sizes(2, 2, 577, 64, 16), device="cuda"), dtype)
    if channels_first:
        inputs = [x if i in (2, 5, 7) else x.mT.contiguous().mT for i, x in enumerate(inputs)]
    grad = torch.randn(2, 577, 64, device="cuda").to(dtype)
    found = evaluate(bidirectional_selective_scan, inputs, grad, True, "mamba_ssm")
    doubles = [x.double() for x in inputs]
    expected = evaluate(bidirectional_selective_scan, doubles, grad.double(), True, "torch_chunk")
    worst = errors(found, expected)
    assert max(worst.values()) <= (2e-2 if dtype is torch.bfloat16 else 1e-4), worst


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("implementation", ["triton_fused", "mamba_ssm"])
def test_vim_computes_the_same(implementation: str, training: bool) -> None:
    if reason := get_implementation("scan", implementation).unsupported_reason("cuda"):
        pytest.skip(reason)
    torch.manual_seed(0)
    model = vigbench.create_model("vim_tiny_patch16_224", depth=4).cuda().train(training)
    image = torch.randn(2, 3, 224, 224, device="cuda")
    results = []
    for name in (implementation, "torch_chunk"):
        model.set_implementation(name)  # type: ignore[operator]
        model.zero_grad()
        out = model(image)
        out.square().mean().backward()
        results.append([out.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    for x, y in zip(*results, strict=True):
        assert (x - y).norm() <= 1e-3 * y.norm()


def test_memory_is_linear_in_length() -> None:
    def peak(length: int) -> int:
        inputs = tokens_to(sample("as initialised", Sizes(2, 4, length, 384, 16), device="cuda"), torch.bfloat16)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        bidirectional_selective_scan(*inputs, True, "triton_fused")
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    assert peak(8192) <= 4.2 * peak(2048)
