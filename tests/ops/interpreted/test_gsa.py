"""Gated slot attention by Triton's kernels, in Triton's interpreter: run by test_interpreted.py."""

import os

import pytest
import torch
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.anywhere import allow_anywhere
from tests.ops.gsa.inputs import assert_close, evaluated, one_direction, sample
from tests.ops.gsa.test_accuracy import SCALES, golden
from tests.ops.interpreted.gla_comparison import SMALL, SMALLEST_HALF, poisoned_outputs, settings_anew  # noqa: F401
from vigbench.ops.gla.kernels import settings as gla_settings
from vigbench.ops.gsa.kernels import launch

ALLOWED = {torch.float32: 2e-6, torch.float16: 4e-3}


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_anywhere(monkeypatch, "gsa", "triton_fused")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (gla_settings, launch):
        monkeypatch.setattr(module, "default_settings", lambda *_: SMALL)


def assert_as_defined(inputs: list[Tensor], dtype: torch.dtype = torch.float32) -> None:
    *xs, grad = [x.to(dtype) for x in inputs]
    expected = evaluated([x.double() for x in xs], grad.double(), "reference")
    smallest = SMALLEST_HALF if dtype == torch.float16 else 0.0
    assert_close(evaluated([*xs], grad, "triton_fused"), expected, ALLOWED[dtype], smallest)


@pytest.mark.parametrize("dtype", ALLOWED)
def test_every_decay_regime(regime: str, dtype: torch.dtype, small_blocks: None) -> None:
    assert_as_defined(sample(regime, (1, 37, 1), 16, 16, 16), dtype)


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("regime_", ["as trained", "hard mixture"])
def test_default_blocks(regime_: str, dtype: torch.dtype) -> None:
    assert_as_defined(sample(regime_, (1, 35, 1), 32, 16, 16), dtype)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 70])
def test_lengths(length: int, small_blocks: None) -> None:
    assert_as_defined(sample("as trained", (1, length, 2), 16, 32, 16))


@pytest.mark.parametrize("dims", [(32, 64, 32), (20, 24, 12), (16, 16, 48), (2, 3, 2), (128, 16, 20)])
def test_dimensions(dims: tuple[int, int, int]) -> None:
    assert_as_defined(sample("as initialised", (1, 20, 1), *dims))


@pytest.mark.parametrize("regime_", ["as trained", "hard mixture"])
def test_more_slots_than_a_program_takes(regime_: str, small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits are written, and their softmax is PyTorch's."""
    monkeypatch.setattr(launch, "MOST_SLOTS", 16)
    assert_as_defined(sample(regime_, (2, 20, 1), 16, 16, 40))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("regime_", ["as trained", "hard mixture"])
def test_one_direction(regime_: str, reverse: bool, small_blocks: None) -> None:
    q, k, v, s, _, g, _, grad = sample(regime_, (1, 37, 1), 16, 16, 16)
    xs = [q, k, v, s, g]
    expected = one_direction([x.double() for x in xs], grad.double(), reverse, "reference")
    assert_close(one_direction([*xs], grad, reverse, "triton_fused"), expected, ALLOWED[torch.float32])


@pytest.mark.parametrize("prefix", SCALES)
def test_golden(prefix: str) -> None:
    """The first sequence; what is left out of it, reads nothing of it."""
    values = golden(prefix)
    names = ("q", "k", "v", "s_fwd", "s_bwd", "g_fwd", "g_bwd")
    inputs = [values[name][:1] if name in values else None for name in names]
    expected = [values["o"][:1], *(values[f"d{name}"][:1] for name in names if name in values)]
    assert_close(evaluated(inputs, values["do"][:1], "triton_fused", SCALES[prefix]), expected, ALLOWED[torch.float32])


def test_the_same_bits_again() -> None:
    *inputs, grad = sample("moderate", (1, 20, 1), 16, 16, 16)
    first, second = (evaluated([*inputs], grad, "triton_fused") for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_strides_of_projections() -> None:
    """Heads and q, k, v are slices of one tensor, and so are s and g, as layers have them."""
    *inputs, grad = sample("as trained", (2, 20, 2), 16, 16, 16)
    joined = torch.cat([x.flatten(2) for x in inputs], -1)
    strided = [x.unflatten(-1, (2, -1)) for x in joined.split([x.shape[2] * x.shape[3] for x in inputs], -1)]
    assert not any(x.is_contiguous() for x in strided)
    found, expected = (evaluated([*xs], grad, "triton_fused") for xs in (strided, inputs))
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_gates_in_float32_beside_half_precision() -> None:
    *xs, g_fwd, g_bwd, grad = sample("as trained", (1, 20, 1), 16, 16, 16)
    halves = [x.half() for x in xs]
    found = evaluated([*halves, g_fwd, g_bwd], grad.half(), "triton_fused")
    expected = evaluated([x.double() for x in (*halves, g_fwd, g_bwd)], grad.half().double(), "reference")
    assert found[-1].dtype == torch.float32
    assert_close(found, expected, ALLOWED[torch.float16])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
def test_opcheck() -> None:
    inputs = [x.requires_grad_() for x in sample("as trained", (1, 5, 1), 2, 3, 4)[:7]]
    torch.library.opcheck(torch.ops.vigbench.gsa_triton_fused, (*inputs, 0.5))


def test_no_images() -> None:
    inputs = [x[:0] for x in sample("as trained", (1, 5, 2), 16, 16, 8)]
    assert evaluated([*inputs[:7]], inputs[7], "triton_fused")[0].shape == (0, 5, 2, 16)


def test_what_triton_does_not_take_is_refused() -> None:
    q, k, v, s, _, g, _, _ = sample("as trained", (1, 5, 1), 2, 3, 4)
    operator = torch.ops.vigbench.gsa_triton_fused
    with pytest.raises(ValueError, match=r"sum in float32.*use torch_chunk"):
        operator(*(x.double() for x in (q, k, v, s)), None, g.double(), None, 1.0)
    with pytest.raises(ValueError, match="2 channels or more"):
        operator(q, k, v, s[..., :1], None, g[..., :1], None, 1.0)
