"""The gated delta rule by Triton's kernels, in Triton's interpreter: run by test_interpreted.py."""

import os

import pytest
import torch
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

import triton
import triton.language as tl

from tests.ops.anywhere import allow_anywhere
from tests.ops.gated_delta.inputs import assert_as_defined, assert_close, evaluated, one_direction, sample
from tests.ops.gated_delta.test_accuracy import compared_with_golden
from tests.ops.interpreted.gla_comparison import SMALLEST_HALF, poisoned_outputs  # noqa: F401
from vigbench.ops import kernel_launch
from vigbench.ops.gated_delta import triton_fused
from vigbench.ops.gated_delta.kernels import launch
from vigbench.ops.gated_delta.kernels.systems import inverse_of, pair_decay
from vigbench.ops.gated_delta.kernels.variant import DeltaSettings

ALLOWED = {torch.float32: 4e-6, torch.float16: 4e-3}
SMALL = DeltaSettings(chunk=16, key_block=16, value_block=16, warps=4, stages=1)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_anywhere(monkeypatch, "gated_delta", "triton_fused")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_fused, "settings_for", lambda *_, **__: SMALL)


def check(inputs: list[Tensor], dtype: torch.dtype = torch.float32) -> None:
    smallest = SMALLEST_HALF if dtype == torch.float16 else 0.0
    assert_as_defined([x.to(dtype) for x in inputs], "triton_fused", ALLOWED[dtype], smallest)


@pytest.mark.parametrize("dtype", ALLOWED)
def test_every_decay_regime(regime: str, dtype: torch.dtype) -> None:
    check(sample(regime, (1, 37, 1), 16, 16), dtype)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 31, 33, 70])
def test_lengths(length: int) -> None:
    check(sample("as trained", (1, length, 2), 16, 32))


@pytest.mark.parametrize("length", [31, 32, 33, 70])
def test_lengths_in_half_precision(length: int) -> None:
    check(sample("moderate", (1, length, 1), 16, 16), torch.float16)


@pytest.mark.parametrize("dims", [(32, 64), (20, 24), (2, 3), (128, 16), (16, 70)])
def test_dimensions(dims: tuple[int, int]) -> None:
    check(sample("as initialised", (1, 20, 1), *dims))


def test_images_and_heads(small_blocks: None) -> None:
    check(sample("hard mixture", (2, 35, 3), 20, 24), torch.float16)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("regime_", ["as trained", "hard mixture"])
def test_one_direction(regime_: str, reverse: bool) -> None:
    q, k, v, g, _, beta, _, grad = sample(regime_, (1, 37, 1), 16, 16)
    xs = [q, k, v, g, beta]
    expected = one_direction([x.double() for x in xs], grad.double(), reverse, "reference")
    assert_close(one_direction(xs, grad, reverse, "triton_fused"), expected, ALLOWED[torch.float32])


@pytest.mark.parametrize("reverse", [False, True])
def test_golden(reverse: bool) -> None:
    compared_with_golden("triton_fused", "strong", reverse, torch.float32, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_mild_golden(reverse: bool) -> None:
    compared_with_golden("triton_fused", "mild", reverse, torch.float32, 2e-6)


@triton.jit
def whole_inverse(lower, out, size: tl.constexpr):  # type: ignore[no-untyped-def]
    """(I + lower)^-1."""
    at = tl.arange(0, size)[:, None] * size + tl.arange(0, size)[None, :]
    tl.store(out + at, inverse_of(tl.load(lower + at), size))


@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_inverse_of_a_triangle(size: int) -> None:
    """Of ones below the diagonal, whose powers grow beyond all bounds, and of others."""
    for lower in (torch.ones(size, size).tril(-1), torch.randn(size, size).div(4).tril(-1)):
        out = torch.empty(size, size)
        kernel_launch.launch_kernel(whole_inverse, (1, 1, 1), lower.device, (lower, out), {"size": size}, 4, 1)
        expected = torch.linalg.inv(torch.eye(size, dtype=torch.float64) + lower)
        assert (out - expected).abs().max() <= 1e-6 * expected.abs().max()


@triton.jit
def decays(g, out, size: tl.constexpr, turned: tl.constexpr):  # type: ignore[no-untyped-def]
    """The decay of each pair of tokens."""
    rows = tl.arange(0, size)
    tl.store(out + rows[:, None] * size + rows[None, :], pair_decay(tl.load(g + rows), size, turned))


@pytest.mark.parametrize("turned", [False, True])
def test_pairs_on_one_side_of_an_infinite_decay_keep_their_digits(turned: bool) -> None:
    g = -torch.rand(16)
    g[5] = -torch.inf
    out = torch.empty(16, 16)
    constants = {"size": 16, "turned": turned}
    kernel_launch.launch_kernel(decays, (1, 1, 1), g.device, (g, out), constants, 4, 1)
    expected = torch.zeros(16, 16, dtype=torch.float64)
    for row in range(16):
        for column in range(row + 1):
            expected[row, column] = torch.exp2(g[column + 1 : row + 1].double().sum())
    torch.testing.assert_close(out.double(), expected.T if turned else expected, rtol=1e-6, atol=0)


def test_the_same_bits_again() -> None:
    *inputs, grad = sample("moderate", (1, 20, 1), 16, 16)
    first, second = (evaluated(inputs, grad, "triton_fused") for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_strides_of_projections() -> None:
    """Heads and q, k, v are slices of one tensor, and so are the gates, as layers have them."""
    *inputs, grad = sample("as trained", (2, 20, 2), 16, 16)
    joined = torch.cat([x.flatten(2) for x in inputs], -1)
    parts = joined.split([x.flatten(2).shape[-1] for x in inputs], -1)
    strided = [x.unflatten(-1, (2, -1)) if like.ndim == 4 else x for x, like in zip(parts, inputs, strict=True)]
    assert not any(x.is_contiguous() for x in strided)
    found, expected = (evaluated(xs, grad, "triton_fused") for xs in (strided, inputs))
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_gates_in_float32_beside_half_precision() -> None:
    *xs, grad = sample("as trained", (1, 20, 1), 16, 16)
    given = [*(x.half() for x in xs[:3]), *xs[3:]]
    found = evaluated(given, grad.half(), "triton_fused")
    expected = evaluated([x.double() for x in given], grad.half().double(), "reference")
    assert found[-1].dtype == torch.float32
    assert_close(found, expected, ALLOWED[torch.float16])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
def test_opcheck() -> None:
    inputs = [x.requires_grad_() for x in sample("as trained", (1, 5, 1), 2, 3)[:7]]
    torch.library.opcheck(torch.ops.vigbench.gated_delta_triton_fused, (*inputs, 0.5))


def test_no_images() -> None:
    *inputs, grad = [x[:0] for x in sample("as trained", (1, 5, 2), 16, 16)]
    assert evaluated(inputs, grad, "triton_fused")[0].shape == (0, 5, 2, 16)


def test_what_triton_does_not_take_is_refused() -> None:
    q, k, v, g, _, beta, _, _ = sample("as trained", (1, 5, 1), 2, 3)
    operator = torch.ops.vigbench.gated_delta_triton_fused
    with pytest.raises(ValueError, match=r"sum in float32.*use torch_chunk"):
        operator(*(x.double() for x in (q, k, v, g)), None, beta.double(), None, 1.0)
    with pytest.raises(ValueError, match="2 channels or more"):
        operator(q[..., :1].clone(), k[..., :1].clone(), v, g, None, beta, None, 1.0)
    many = q.repeat_interleave(launch.MOST_KEYS, -1)
    with pytest.raises(ValueError, match=r"512 channels a head.*use torch_chunk"):
        operator(many, many, v, g, None, beta, None, 1.0)
