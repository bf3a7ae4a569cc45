"""The convolution's Triton kernels on the CPU, in Triton's interpreter: run by test_interpreted.py."""

import os

import pytest
import torch

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.causal_conv.definition import sample, worst_error
from vigbench.ops.causal_conv import bidirectional_causal_conv

ALLOWED = {torch.float32: 1e-6, torch.float16: 2e-3}


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize(("length", "dim", "taps"), [(1, 3, 4), (37, 70, 4), (5, 8, 3), (33, 4, 1)])
def test_as_conv1d(
    length: int, dim: int, taps: int, dtype: torch.dtype, channels_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, grad = sample(2, length, dim, taps, dtype)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan))
    assert worst_error(inputs, grad, fused=True, channels_first=channels_first) <= ALLOWED[dtype]


def test_any_strides() -> None:
    inputs, grad = sample(2, 20, 6, 4, torch.float32)
    turned = [inputs[0].mT.contiguous().mT, *inputs[1:]]
    assert worst_error(turned, grad[:, :, :1].expand_as(grad), fused=True, channels_first=True) <= 1e-6


def test_double_precision_is_refused() -> None:
    inputs, _ = sample(1, 4, 4, 4, torch.float64)
    with pytest.raises(ValueError, match="sum in float32"):
        bidirectional_causal_conv(*inputs, fused=True)
