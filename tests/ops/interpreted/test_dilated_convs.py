"""The dilated convolutions' kernels on the CPU, in Triton's interpreter: run by test_interpreted.py."""

import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

import triton
import triton.language as tl

from tests.ops.anywhere import allow_anywhere
from tests.ops.dilated_convs.inputs import Shape, assert_close, computed, differentiated, doubled, grouped, sample
from vigbench.ops.dilated_convs import dilated_convs, triton_fused
from vigbench.ops.dilated_convs.kernels.planes import branch_row, tile_of

ALLOWED = 2e-6


@pytest.fixture(autouse=True)
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels run on the CPU, and memory that one leaves unwritten is NaN."""
    allow_anywhere(monkeypatch, "dilated_convs", "triton_fused")
    empty, empty_like = torch.empty, torch.empty_like
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan))
    monkeypatch.setattr(torch, "empty_like", lambda x: empty_like(x).fill_(torch.nan))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tiles, segments, blocks and parts in small volumes."""
    monkeypatch.setattr(triton_fused, "TILE", (16, 16))
    monkeypatch.setattr(triton_fused, "SEGMENTS", (3,))
    monkeypatch.setattr(triton_fused, "NORM_BLOCK", 16)
    monkeypatch.setattr(triton_fused, "PARTS", 4)
    monkeypatch.setattr(triton_fused, "STATISTICS_BLOCK", 4)


def assert_as_defined(inputs: list[torch.Tensor], allowed: float = ALLOWED) -> None:
    found = differentiated(inputs, "triton_fused")
    assert_close(found, differentiated(doubled(inputs)), allowed)
    assert not any(one.any() for one in found[5:8]), "biases"
    with torch.no_grad():
        assert torch.equal(computed(inputs, "triton_fused"), found[0])  # in place, and nothing is kept


@pytest.mark.parametrize("shape", [(2, 3, 5, 6, 7), (1, 2, 1, 1, 9), (1, 1, 8, 8, 8), (2, 1, 2, 17, 19)], ids=str)
def test_shapes(shape: Shape) -> None:
    assert_as_defined(sample(shape))


@pytest.mark.parametrize("shape", [(2, 1, 4, 5, 6), (1, 2, 7, 3, 7), (1, 1, 1, 5, 10)], ids=str)
def test_tiles_segments_and_parts(shape: Shape, small_blocks: None) -> None:
    assert_as_defined(sample(shape))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sides=st.tuples(*[st.integers(1, 5)] * 3), seed=st.integers(0, 1000))
def test_any_sides(sides: tuple[int, int, int], seed: int, small_blocks: None) -> None:
    inputs = sample((1, 1, *sides), seed=seed)
    with torch.no_grad():
        found, expected = computed(inputs, "triton_fused"), computed(doubled(inputs))
    assert (found.double() - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_half_precision() -> None:
    """Of whole numbers, so that the convolutions are exact and nothing crosses PReLU's corner by rounding."""
    x, *rest = sample((1, 2, 4, 5, 6))
    weights, biases = ([(4 * one).round().clamp(-1, 1) / 4 for one in rest[n : n + 3]] for n in (0, 3))
    inputs = [one.half() for one in (x.round(), *weights, *[one.round() for one in biases], *rest[6:])]
    found = differentiated(inputs, "triton_fused")
    assert all(one.dtype == torch.float16 for one in found)
    assert_close(found, differentiated(doubled(inputs)), 3e-3)


@pytest.mark.parametrize("moved", ["bias", "x"])
def test_statistics_of_volumes_far_from_zero(moved: str, small_blocks: None) -> None:
    """A variance as the mean square less the square of the mean would be wrong by percents."""
    inputs = sample((1, 1, 4, 6, 6))
    if moved == "x":
        inputs[0] = inputs[0] + 1000
    else:
        inputs[4:7] = [one + 1000 for one in inputs[4:7]]
    with torch.no_grad():
        found, expected = computed(inputs, "triton_fused"), computed(doubled(inputs))
    assert (found.double() - expected).abs().max() <= 2e-4 * expected.abs().max()


def test_the_same_bits_again(small_blocks: None) -> None:
    inputs = sample((1, 2, 4, 3, 6))
    first, second = (differentiated(inputs, "triton_fused") for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_any_strides_and_an_expanded_gradient() -> None:
    x, *rest, grad = sample((2, 2, 3, 4, 5))
    last = x.contiguous(memory_format=torch.channels_last_3d)
    rest[0] = rest[0].mT
    inputs = [last, *rest, torch.ones(1).expand_as(grad)]
    assert not any(inputs[n].is_contiguous() for n in (0, 1, 16))
    assert_close(differentiated(inputs, "triton_fused"), differentiated(doubled(inputs)), ALLOWED)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
def test_opcheck() -> None:
    inputs = [one.requires_grad_() for one in sample((1, 1, 2, 2, 3))[:16]]
    for training in (True, False):
        given_ = [one.detach().requires_grad_(training) for one in inputs]
        torch.library.opcheck(triton_fused.triton_fused, (*given_, 1e-5, training))


def test_no_volumes_and_no_float64() -> None:
    x, *rest, grad = sample((1, 2, 3, 4, 5))
    out, d_x, *others = differentiated([x[:0], *rest, grad[:0]], "triton_fused")
    assert (out.shape, d_x.shape) == ((0, 6, 3, 4, 5), (0, 2, 3, 4, 5))
    assert not any(one.any() for one in others)
    with pytest.raises(ValueError, match=r"sum in float32: .* or use reference"):
        computed(doubled([x, *rest]), "triton_fused")


def test_autocast_keeps_norms_in_float32() -> None:
    inputs = sample((1, 2, 3, 4, 5))[:16]
    with torch.autocast("cpu", torch.float16), torch.no_grad():
        out = computed(inputs, "triton_fused")
    halves = [one.half() if n < 7 else one for n, one in enumerate(inputs)]
    expected = computed(doubled(halves))
    assert out.dtype == torch.float16
    assert (out.double() - expected).abs().max() <= 3e-3 * expected.abs().max()


def test_torch_compile_takes_it_whole() -> None:
    inputs = sample((1, 1, 2, 3, 4))
    run = torch.compile(
        lambda *given_: dilated_convs(given_[0], *grouped(given_[1:]), implementation="triton_fused"),
        fullgraph=True,
        backend="aot_eager",
    )
    leaves = [one.detach().requires_grad_() for one in inputs[:16]]
    out = run(*leaves)
    found = [out.detach(), *torch.autograd.grad(out, leaves, inputs[16])]
    assert_close(found, differentiated(doubled(inputs)), ALLOWED)


@triton.jit
def _places(out, program, channels, depth, height, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    tile = tile_of(program, channels, depth, height, width, 4, block)
    tl.store(out, tile.row * tile.volume)
    tl.store(out + 1, branch_row(tile, 2) * tile.volume)


def test_places_beyond_32_bits() -> None:
    out = torch.zeros(2, dtype=torch.int64)
    depth, height, width, channels, row = 1200, 1100, 1000, 5, 13
    parts = -(-height * width // 64) * (depth // 4)
    _places[(1,)](out, row * parts, channels, depth, height, width, block=64)
    volume = depth * height * width
    assert out.tolist() == [row * volume, ((2 * 3 + 2) * channels + 3) * volume]
