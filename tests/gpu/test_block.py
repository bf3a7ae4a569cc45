"""ViG's fused block and the walks of its operator on a real GPU, in half precision."""

import pytest
import torch
from torch import Tensor, nn

import vigbench
from vigbench.measure.correctness import relative_error
from vigbench.subjects.catalog import fill_weights

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
if torch.cuda.is_available():
    from vigbench.ops.gla import bidirectional_gla, triton_fused
    from vigbench.ops.gla.kernels.settings import WALK, WALK_BACK

ALLOWED = 3e-2  # of a model in bfloat16, against float32
MODELS = ["vig_tiny_patch16_224", "vig_small_patch16_224", "vig_h_tiny_patch4_224"]


def model_and_images(name: str, px: int = 224) -> tuple[nn.Module, Tensor]:
    model = vigbench.create_model(name)
    fill_weights(model, seed=0)
    generator = torch.Generator("cuda").manual_seed(0)
    return model.cuda().eval(), torch.randn(2, 3, px, px, device="cuda", generator=generator)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_computes_what_the_reference_does(name: str) -> None:
    model, images = model_and_images(name)
    with torch.inference_mode():
        model.set_implementation("torch_chunk")  # type: ignore[operator]
        expected = model(images)
        model.set_implementation("triton_block")  # type: ignore[operator]
        found = model.bfloat16()(images.bfloat16())
    assert relative_error(found.float(), expected) <= ALLOWED


@pytest.mark.parametrize("name", MODELS)
def test_gradients_follow_float32(name: str) -> None:
    model, images = model_and_images(name)
    model.set_implementation("torch_chunk")  # type: ignore[operator]
    model(images).square().mean().backward()
    exact = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.set_implementation("triton_block")  # type: ignore[operator]
    with torch.autocast("cuda", torch.bfloat16):
        loss = model(images).float().square().mean()
    loss.backward()
    for one, p in model.named_parameters():
        assert p.grad is not None, one
        assert (p.grad - exact[one]).norm() <= 0.2 * exact[one].norm() + 1e-6, one


@pytest.mark.parametrize("name", MODELS[::2])
def test_it_compiles_whole_and_replays_as_a_graph(name: str) -> None:
    model, images = model_and_images(name)
    model.set_implementation("triton_block")  # type: ignore[operator]
    model, images = model.bfloat16(), images.bfloat16()
    with torch.inference_mode():
        expected = model(images)
        compiled = torch.compile(model, fullgraph=True)(images)
        assert relative_error(compiled, expected) <= ALLOWED
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = model(images)
        graph.replay()
        assert relative_error(captured, expected) <= 1e-3


def test_it_holds_less_memory_than_the_operator_alone() -> None:
    peaks = []
    model, images = model_and_images(MODELS[0], px=512)
    model, images = model.bfloat16(), images.bfloat16().repeat(8, 1, 1, 1)
    for implementation in ("triton_block", "triton_fused"):
        model.set_implementation(implementation)  # type: ignore[operator]
        with torch.inference_mode():
            model(images)
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            model(images)
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[0] < 0.8 * peaks[1]


HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
SHAPES = pytest.mark.parametrize("dims", [(32, 64), (16, 32)])


def operands(length: int, dims: tuple[int, int], dtype: torch.dtype, strong: bool) -> list[Tensor]:
    """q, k, v and log-decays of both directions, with `strong` one that is next to nothing in the middle."""
    generator = torch.Generator("cuda").manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, device="cuda", generator=generator).to(dtype)

    q, k = normal(2, 4, length, 3, dims[0]).unbind(0)
    gates = torch.nn.functional.logsigmoid(normal(2, 4, length, 3, dims[0])) / 16
    if strong:
        gates[:, :, length // 2] = -20.0
    return [q, k, normal(4, length, 3, dims[1]), *gates.unbind(0)]


@pytest.mark.parametrize("segment", [1, 3, 1000])
@HALVES
@SHAPES
def test_walks_whole_and_in_segments(
    dims: tuple[int, int], dtype: torch.dtype, segment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_fused, "settings_for", lambda *_: WALK._replace(segment=segment))
    for length, strong in ((1, False), (63, False), (196, True), (509, False), (4096, True)):
        inputs = operands(length, dims, dtype, strong)
        expected = bidirectional_gla(*(x.double() for x in inputs), implementation="torch_chunk")
        found = bidirectional_gla(*inputs, implementation="triton_fused")
        allowed = 1e-2 if dtype == torch.bfloat16 else 2e-3
        assert (found - expected).abs().max() <= allowed * expected.abs().max()


@pytest.mark.parametrize("segment", [2, 1000])
@HALVES
@SHAPES
def test_gradients_by_walks(
    dims: tuple[int, int], dtype: torch.dtype, segment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = {"forward": WALK, "backward": WALK_BACK}
    monkeypatch.setattr(triton_fused, "settings_for", lambda *of: forms[of[-1]]._replace(segment=segment))
    for length, strong in ((1, False), (63, False), (196, True), (509, False)):
        grads = []
        for implementation, wide in (("torch_chunk", True), ("triton_fused", False)):
            inputs = [x.double() if wide else x for x in operands(length, dims, dtype, strong)]
            leaves = [x.detach().requires_grad_() for x in inputs]
            o = bidirectional_gla(*leaves, implementation=implementation)
            grads.append(torch.autograd.grad(o, leaves, torch.linspace(-1, 1, o.numel()).view(o.shape).to(o)))
        for expected, found in zip(*grads, strict=True):
            allowed = 1e-2 if dtype == torch.bfloat16 else 2e-3
            assert (found - expected).abs().max() <= allowed * expected.abs().max()
