"""The convolution for models: casts, and which code computes it."""

import importlib

import torch
from torch import Tensor

from vigbench.ops.registry import list_implementations

FUSED_WITH = tuple(one.name for one in list_implementations("scan") if one.fused_blocks)
"""Implementations of the scan beside which the Triton kernel runs: it is the same for all of them."""


def bidirectional_causal_conv(
    x: Tensor, weight: Tensor, bias: Tensor, *, fused: bool, channels_first: bool = False
) -> Tensor:
    """silu(bias + sum over j of weight_j x_(t - taps + 1 + j)), and the mirror image with t + taps - 1 - j.

    Args:
        x: (batch, length, dim).
        weight: (2, dim, taps), the forward direction first: it sees a token and those before it, the last tap the
            token itself. The backward one sees the token and those after it. Dtype of x, as is bias.
        bias: (2, dim).
        fused: one Triton kernel for both directions. Needs a CUDA device (or Triton's interpreter).
        channels_first: the result is (2, batch, dim, length) in memory, as mamba-ssm's kernels want it.

    Returns:
        (2, batch, length, dim), dtype of x. Sums are kept in float32 for half precision.
    """
    operator = getattr(torch.ops.vigbench, _define("triton_fused" if fused else "torch_shift"))
    out: Tensor = operator(x, weight.to(x.dtype), bias.to(x.dtype), channels_first)
    return out


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch.compile need not trace an import
def _define(name: str) -> str:
    """The operator's name, once it is defined."""
    importlib.import_module(f"vigbench.ops.causal_conv.{name}")
    return f"conv_{name}"
