"""ReGLA's kernels in the interpreter: run by test_interpreted.py, in a process of its own."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.anywhere import allow_anywhere
from tests.ops.interpreted.gla_comparison import SMALL, poisoned_outputs, settings_anew  # noqa: F401
from tests.ops.regla.inputs import differentiated, make_inputs
from vigbench.ops.gla.kernels import settings as kernel_settings
from vigbench.ops.regla import bidirectional_regla
from vigbench.ops.regla.reference import reference
from vigbench.ops.regla.triton_fused import triton_fused

ALLOWED = {torch.float32: 2e-6, torch.float16: 2e-3}
WALKS = {"whole": SMALL._replace(walk=True, segment=100), "in segments": SMALL._replace(walk=True, segment=1)}
SPREADS = {"mild": 0.1, "as initialised": 1.0, "strong": 6.0}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_settings, "default_settings", lambda *_: SMALL)


@pytest.fixture(params=list(WALKS))
def walking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One walk each way instead of two passes. It multiplies strong decays, too, and leaves out what has overflown."""
    for name in ("walk_settings", "default_settings"):
        monkeypatch.setattr(kernel_settings, name, lambda *_: WALKS[request.param])
    with np.errstate(over="ignore", invalid="ignore"):
        yield


def assert_as_defined(inputs: list[Tensor | None], grad: Tensor, scale: float = 0.5) -> None:
    doubled = [None if x is None else x.double() for x in inputs]
    expected = differentiated(lambda *x: reference(*x, scale), doubled, grad.double())
    found = differentiated(lambda *x: triton_fused(*x, scale), inputs, grad)
    keys = expected[2].abs().max()
    for n, (x, y) in enumerate(zip(found, expected, strict=True)):
        largest = y.abs().max() if n < 4 else torch.maximum(y.abs().max(), keys)  # as `samples` has it
        assert x.isfinite().all(), n
        assert (x.double() - y).abs().max() <= ALLOWED[grad.dtype] * largest, n


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("spread", SPREADS)
def test_every_kind_of_logits(spread: str, dtype: torch.dtype, small_blocks: None) -> None:
    *inputs, grad = make_inputs(37, 20, 16, SPREADS[spread], (1, 1), dtype)
    assert_as_defined([*inputs], grad)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 70])
def test_lengths(length: int, small_blocks: None) -> None:
    *inputs, grad = make_inputs(length, 16, 16, rows=(1, 2), dtype=torch.float32)
    assert_as_defined([*inputs], grad)


@pytest.mark.parametrize(("key_dim", "value_dim", "dtype"), [(32, 64, torch.float16), (2, 3, torch.float32)])
def test_default_blocks(key_dim: int, value_dim: int, dtype: torch.dtype) -> None:
    *inputs, grad = make_inputs(35, key_dim, value_dim, rows=(1, 1), dtype=dtype)
    assert_as_defined([*inputs], grad)


def test_one_direction(small_blocks: None) -> None:
    q, k, v, x_fwd, y_fwd, x_bwd, y_bwd, grad = make_inputs(20, 16, 16, rows=(2, 1), dtype=torch.float32)
    assert_as_defined([q, k, v, x_fwd, y_fwd, None, None], grad)
    assert_as_defined([q, k, v, None, None, x_bwd, y_bwd], grad)


@pytest.mark.parametrize("spread", SPREADS)
def test_one_walk(spread: str, walking: None) -> None:
    *inputs, grad = make_inputs(37, 20, 16, SPREADS[spread], (1, 1), torch.float32)
    assert_as_defined([*inputs], grad)


def test_equal_maxima_share_the_gradient_equally(small_blocks: None) -> None:
    q, k, *rest, grad = make_inputs(70, 16, 16, rows=(1, 1), dtype=torch.float32)
    q[..., :2], k[:, ::30, :, 1] = 9.0, 7.0  # keys of two blocks of tokens
    assert_as_defined([q, k, *rest], grad)


def test_strides_of_projections(small_blocks: None) -> None:
    *inputs, grad = make_inputs(20, 16, 16, rows=(2, 2), dtype=torch.float32)
    joined = torch.cat([x.flatten(2) for x in inputs], -1).split(32, -1)
    strided: list[Tensor | None] = [x.unflatten(-1, (2, -1)) for x in joined]
    assert_as_defined(strided, grad.transpose(1, 2).contiguous().transpose(1, 2))


def test_users_reach_it(monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> None:
    allow_anywhere(monkeypatch, "regla", "triton_fused")
    *inputs, _ = make_inputs(20, 16, 16, dtype=torch.float32)
    found = bidirectional_regla(*inputs, implementation="triton_fused")
    torch.testing.assert_close(found, bidirectional_regla(*inputs, implementation="reference"), rtol=1e-5, atol=1e-7)


def test_no_images() -> None:
    q, v = torch.zeros(0, 5, 2, 16), torch.zeros(0, 5, 2, 32)
    assert differentiated(lambda *x: triton_fused(*x, 0.5), [q, q, v, q, q, q, q], v)[0].shape == v.shape


def test_float64_is_refused() -> None:
    x = torch.zeros(1, 5, 2, 16, dtype=torch.float64)
    with pytest.raises(ValueError, match="sum in float32"):
        triton_fused(x, x, x, x, x, x, x, 0.5)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
def test_opcheck() -> None:
    inputs = [x.requires_grad_() for x in make_inputs(5, 2, 3, rows=(1, 1), dtype=torch.float32)[:7]]
    torch.library.opcheck(torch.ops.vigbench.regla_triton_fused, (*inputs, 0.5))
