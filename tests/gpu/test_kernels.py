"""GLA's Triton kernels on a GPU: every shape, length and decay against float64, without a copy or a recompile."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import vigbench
from vigbench.ops.gla import bidirectional_gla, bidirectional_gla_low_rank, gla
from vigbench.ops.gla.kernels.gates import LOGITS
from vigbench.ops.gla.kernels.launch import log_decay_gates
from vigbench.ops.gla.triton_fused import run_backward, run_forward
from vigbench.ops.registry import get_implementation

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("poisoned_outputs"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

ALLOWED = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
SMALLEST = {torch.float32: 0.0, torch.bfloat16: 0.0, torch.float16: 6e-8}  # what float16 can hold at all
DECAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "mild": lambda n: F.logsigmoid(n) / 16,
    "trained": lambda n: F.logsigmoid(4 * n - 2) / 16,
    "strong": lambda n: torch.full_like(n, -20.0),
    "mixed": lambda n: torch.where(n > 2, -20.0, torch.where(n < -2, -800.0, F.logsigmoid(n) / 16)),
}
LENGTHS = [1, 2, 15, 16, 17, 63, 64, 65, 127, 196, 197, 509, 512, 1021, 1024, 2048, 3136, 4093, 4096, 4999, 5000]


def inputs_of(
    length: int, dims: tuple[int, int], dtype: torch.dtype, decay: str, batch: int = 2, heads: int = 3
) -> list[Tensor]:
    """q, k, v, both log-decays and a gradient, fresh, with the strides of ViG's projections."""
    key, value = dims
    widths = [heads * dim for dim in (key, key, value)]
    qkv = torch.randn(batch, length, sum(widths), device="cuda").to(dtype).split(widths, -1)
    gates = DECAYS[decay](torch.randn(batch, length, 2, heads, key, device="cuda")).to(dtype).unbind(2)
    grad = torch.randn(batch, length, heads, value, device="cuda").to(dtype)
    return [*(x.unflatten(-1, (heads, -1)) for x in qkv), *gates, grad]


def differentiated(implementation: str, inputs: list[Tensor]) -> list[Tensor]:
    *xs, grad = inputs
    leaves = [x.detach().requires_grad_() for x in xs]
    o = bidirectional_gla(*leaves, implementation=implementation)
    return [o.detach(), *torch.autograd.grad(o, leaves, grad)]


def assert_as_defined(found: list[Tensor], inputs: list[Tensor]) -> None:
    expected = differentiated("torch_chunk", [x.double() for x in inputs])  # exact to 1e-12, and fast
    dtype = inputs[0].dtype
    for name, x, y in zip(("o", "dq", "dk", "dv", "dg_fwd", "dg_bwd"), found, expected, strict=True):
        assert torch.isfinite(x).all(), name
        error = (x.double() - y).abs().max().item()
        assert error <= max(ALLOWED[dtype] * y.abs().max().item(), SMALLEST[dtype]), (name, error, y.abs().max())


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("implementation", ["triton_fused", "triton_unfused"])
def test_lengths(implementation: str, dtype: torch.dtype, decay: str) -> None:
    for length in LENGTHS:
        inputs = inputs_of(length, (32, 64), dtype, decay)
        assert_as_defined(differentiated(implementation, inputs), inputs)


@pytest.mark.parametrize("dtype", ALLOWED)
def test_recurrent(dtype: torch.dtype) -> None:
    for length, decay in ((1, "mild"), (196, "trained"), (509, "strong"), (1024, "mixed")):
        *inputs, _ = inputs_of(length, (32, 64), dtype, decay)
        expected = bidirectional_gla(*(x.double() for x in inputs), implementation="torch_chunk")
        found = bidirectional_gla(*inputs, implementation="triton_recurrent")
        assert (found - expected).abs().max() <= ALLOWED[dtype] * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peer(dtype: torch.dtype) -> None:
    if reason := get_implementation("gla", "fla").unsupported_reason("cuda"):
        pytest.skip(reason)
    inputs = inputs_of(1021, (32, 64), dtype, "mild")
    *expected_inputs, grad = [x.double() for x in inputs]
    expected = differentiated("torch_chunk", [*expected_inputs, grad])
    for x, y in zip(differentiated("fla", inputs), expected, strict=True):
        assert (x.double() - y).abs().max() <= 5e-2 * y.abs().max()  # its float32 runs through TF32


@pytest.mark.parametrize("reverse", [False, True])
def test_one_direction(reverse: bool) -> None:
    q, k, v, g, _, _ = inputs_of(1021, (32, 64), torch.float32, "mixed")
    expected = gla(*(x.double() for x in (q, k, v, g)), reverse=reverse, implementation="torch_chunk")
    for name in ("triton_fused", "triton_unfused", "triton_recurrent"):
        found = gla(q, k, v, g, reverse=reverse, implementation=name)
        assert (found - expected).abs().max() <= 2e-6 * expected.abs().max(), name


@pytest.mark.parametrize("dtype", ALLOWED)
def test_gates_inside_the_kernel(dtype: torch.dtype) -> None:
    q, k, v, x_fwd, x_bwd, grad = inputs_of(777, (32, 64), dtype, "trained")
    x_fwd, x_bwd = 30 * x_fwd, 30 * x_bwd
    doubles = [x.double() for x in (q, k, v)]
    logits = [x.double().requires_grad_() for x in (x_fwd, x_bwd)]
    expected = bidirectional_gla(*doubles, *(F.logsigmoid(x) / 16 for x in logits), implementation="torch_chunk")
    gates = (log_decay_gates, x_fwd, x_bwd, LOGITS, 16.0)
    found = run_forward(q, k, v, 32**-0.5 / 2, *gates)
    assert (found - expected).abs().max() <= ALLOWED[dtype] * expected.abs().max()
    d_logits = torch.autograd.grad(expected, logits, grad.double())
    for x, y in zip(run_backward(grad, q, k, v, 32**-0.5 / 2, *gates)[3:], d_logits, strict=True):
        assert (x - y).abs().max() <= 2 * ALLOWED[dtype] * y.abs().max()


def test_low_rank_gates_inside_the_kernel() -> None:
    q, k, v, _, _, grad = inputs_of(777, (32, 64), torch.float32, "mild")
    a, weight, bias = (torch.randn(*s, device="cuda") for s in ((2, 777, 16), (2, 3, 32, 16), (2, 3, 32)))
    inputs = [q, k, v, a, weight, bias]

    def run(implementation: str, dtype: torch.dtype) -> list[Tensor]:
        leaves = [x.to(dtype).detach().requires_grad_() for x in inputs]
        o = bidirectional_gla_low_rank(*leaves, 16.0, implementation=implementation)
        return [o.detach(), *torch.autograd.grad(o, leaves, grad.to(dtype))]

    found, expected = run("triton_fused", torch.float32), run("torch_chunk", torch.float64)
    for x, y in zip(found, expected, strict=True):
        assert (x - y).abs().max() <= 5e-6 * y.abs().max()


@pytest.mark.parametrize("decay", DECAYS)
def test_the_same_bits_again(decay: str) -> None:
    inputs = inputs_of(4096, (32, 64), torch.bfloat16, decay, batch=8)
    first = differentiated("triton_fused", inputs)
    for _ in range(3):
        assert all(torch.equal(x, y) for x, y in zip(first, differentiated("triton_fused", inputs), strict=True))


@pytest.mark.parametrize("length", [1024, 4096, 16384])
def test_extra_memory_is_half_of_the_tensors_at_most(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    *inputs, _ = inputs_of(length, (32, 64), torch.bfloat16, "mild", batch=8)
    run = partial(bidirectional_gla, *inputs, implementation="triton_fused")
    run()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    out = run()
    extra = torch.cuda.max_memory_allocated() - before - out.nbytes
    assert extra <= 0.5 * (sum(x.nbytes for x in inputs) + out.nbytes)


def test_lengths_of_one_bucket_share_their_kernels() -> None:
    from vigbench.ops.gla.kernels.outputs import chunk_outputs

    def compiled() -> int:
        return sum(len(caches[0]) for caches in chunk_outputs.device_caches.values())

    *inputs, _ = inputs_of(2048, (32, 64), torch.bfloat16, "mild")
    bidirectional_gla(*inputs, implementation="triton_fused")
    before = compiled()
    for length in (1100, 1777, 2050, 4000, 4096):
        *inputs, _ = inputs_of(length, (32, 64), torch.bfloat16, "mild")
        bidirectional_gla(*inputs, implementation="triton_fused")
    assert compiled() == before


@pytest.mark.parametrize("name", ["vig_tiny_patch16_224", "vig_h_tiny_patch4_224"])
@pytest.mark.parametrize("implementation", ["triton_fused", "triton_unfused", "triton_recurrent", "torch_chunk"])
def test_models_compile_whole_and_replay_as_graphs(name: str, implementation: str) -> None:
    torch.manual_seed(0)
    model = vigbench.create_model(name, implementation=implementation).cuda().eval()
    images = torch.randn(2, 3, 224, 224, device="cuda")
    with torch.inference_mode():
        expected = model(images)
        compiled = torch.compile(model, fullgraph=True)(images)
        torch.testing.assert_close(compiled, expected, rtol=1e-3, atol=1e-3)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = model(images)
        graph.replay()
        torch.testing.assert_close(captured, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("implementation", ["triton_fused", "triton_unfused", "torch_chunk"])
def test_training_in_half_precision_follows_float32(implementation: str) -> None:
    torch.manual_seed(0)
    model = vigbench.create_model("vig_tiny_patch16_224", implementation=implementation).cuda()
    images = torch.randn(2, 3, 224, 224, device="cuda")
    model(images).square().mean().backward()
    exact = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    with torch.autocast("cuda", torch.bfloat16):
        loss = model(images).float().square().mean()
    loss.backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert (p.grad - exact[name]).norm() <= 0.2 * exact[name].norm() + 1e-6, name
