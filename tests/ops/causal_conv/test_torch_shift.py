"""The convolution in plain PyTorch against conv1d in float64, and what PyTorch asks of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.causal_conv.definition import sample, worst_error
from vigbench.measure.cost import count_cost
from vigbench.ops.causal_conv import bidirectional_causal_conv


@settings(max_examples=30)
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 40),
    dim=st.integers(1, 9),
    taps=st.integers(1, 5),
    channels_first=st.booleans(),
)
def test_as_conv1d(batch: int, length: int, dim: int, taps: int, channels_first: bool) -> None:
    inputs, grad = sample(batch, length, dim, taps, torch.float64)
    assert worst_error(inputs, grad, fused=False, channels_first=channels_first) <= 1e-11


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)])
def test_precisions(dtype: torch.dtype, allowed: float) -> None:
    inputs, grad = sample(2, 50, 8, 4, dtype)
    assert worst_error(inputs, grad, fused=False, channels_first=False) <= allowed


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("channels_first", [False, True])
def test_opcheck(channels_first: bool) -> None:
    inputs, _ = sample(1, 6, 3, 4, torch.float64)
    bidirectional_causal_conv(*inputs, fused=False)  # defines it
    leaves = [x.detach().requires_grad_() for x in inputs]
    torch.library.opcheck(torch.ops.vigbench.conv_torch_shift.default, (*leaves, channels_first))


def test_no_images() -> None:
    inputs, _ = sample(1, 6, 3, 4, torch.float32)
    assert bidirectional_causal_conv(inputs[0][:0], *inputs[1:], fused=False).shape == (2, 0, 6, 3)


def test_its_multiply_adds_are_counted() -> None:
    class Conv(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return bidirectional_causal_conv(x, x.new_empty(2, 8, 4), x.new_empty(2, 8), fused=False)

    assert count_cost(Conv(), (3, 50, 8)).by_operator == {"conv": 2 * 3 * 50 * 8 * 4}
