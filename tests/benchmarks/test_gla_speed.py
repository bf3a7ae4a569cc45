"""Speed of the operator at ViG-T's 1024 x 1024: one image, 4096 tokens, 3 heads, K 32, V 64, float32, two threads."""

import statistics
import time
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.gla import bidirectional_gla
from vigbench.ops.gla.chunks import Chunks
from vigbench.ops.gla.torch_chunk import _backward, _forward
from vigbench.subjects.catalog import create_model


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


def gla_inputs(length: int = 4096) -> list[Tensor]:
    q, k, g_fwd, g_bwd = (torch.randn(1, length, 3, 32) for _ in range(4))
    return [q, k, torch.randn(1, length, 3, 64), F.logsigmoid(g_fwd) / 16, F.logsigmoid(g_bwd) / 16]


def attention_inputs() -> list[Tensor]:
    return [torch.randn(1, 3, 4096, 64) for _ in range(3)]


def median_ratio(slow: Callable[[], object], fast: Callable[[], object], rounds: int) -> float:
    """How many times longer `slow` takes; the two take turns, so that what disturbs one disturbs the other."""

    def seconds(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    seconds(slow), seconds(fast)
    return statistics.median(seconds(slow) / seconds(fast) for _ in range(rounds))


@pytest.mark.parametrize("implementation", ["torch_chunk", "reference"])
def test_forward(implementation: str, benchmark: Callable[..., Tensor]) -> None:
    inputs = gla_inputs()
    assert benchmark(bidirectional_gla, *inputs, implementation=implementation).shape == inputs[2].shape


def test_forward_with_strong_decays(benchmark: Callable[..., Tensor]) -> None:
    q, k, v, g_fwd, g_bwd = gla_inputs()
    assert benchmark(bidirectional_gla, q, k, v, 100 * g_fwd, 100 * g_bwd).isfinite().all()


def test_forward_and_backward(benchmark: Callable[..., list[Tensor]]) -> None:
    inputs = gla_inputs()
    grads = benchmark(lambda: [_forward(*inputs, 1.0), *_backward(inputs[2], *inputs, 1.0)])
    assert all(x.isfinite().all() for x in grads)


def test_attention_beside_it(benchmark: Callable[..., Tensor]) -> None:
    assert benchmark(F.scaled_dot_product_attention, *attention_inputs()).isfinite().all()


@pytest.mark.slow
def test_chunks_are_fast() -> None:
    """Half of what is promised (10x the reference, and faster than fused attention), for machines that are busy."""
    inputs, qkv = gla_inputs(), attention_inputs()
    chunked = lambda: bidirectional_gla(*inputs, implementation="torch_chunk")  # noqa: E731
    assert Chunks(inputs[2]).count == 64
    assert median_ratio(lambda: bidirectional_gla(*inputs, implementation="reference"), chunked, rounds=7) >= 5
    assert median_ratio(lambda: F.scaled_dot_product_attention(*qkv), chunked, rounds=21) >= 1
    longer = gla_inputs(16384)
    assert median_ratio(lambda: bidirectional_gla(*longer), chunked, rounds=11) <= 8


@pytest.mark.slow
def test_vig_beats_deit_at_1024() -> None:
    vig = create_model("vig_tiny_patch16_224").eval()
    deit = create_model("deit_tiny_patch16_224", img_size=1024).eval()
    image = torch.randn(1, 3, 1024, 1024)
    assert median_ratio(lambda: deit(image), lambda: vig(image), rounds=5) >= 1.5
