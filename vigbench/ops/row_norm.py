"""Norms over channels inside Triton kernels, in float32: RMSNorm, or LayerNorm where rows are `centred`.

And what operators share that multiply no matrices: how rows are split among programs, and what they cost.
"""

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import CostFormulas
from vigbench.ops.kernel_math import load_float32

ELEMENTS = 2048  # of one tensor in a program at once
PROGRAMS = 1024  # at most, in a backward: each sums its own part of the weights' gradients
WARPS = 4


@triton.jit
def load_rows(data, row, stride, columns, is_row, is_column):
    """(rows, columns) in float32; zero outside."""
    at = data + row[:, None] * stride + columns[None, :]
    return tl.load(at, mask=is_row[:, None] & is_column[None, :], other=0.0).to(tl.float32)


@triton.jit
def load_channels(data, columns, is_column):
    """(1, columns) of a weight in float32; zero outside."""
    return load_float32(data, columns, is_column)[None, :]


@triton.jit
def normal_of(x, is_column, eps, dim: tl.constexpr, centred: tl.constexpr):
    """Rows of `dim` channels over their root mean square (standard deviation), and the inverse of that, (rows, 1)."""
    if centred:
        x = tl.where(is_column[None, :], x - (tl.sum(x, 1) / dim)[:, None], 0.0)
    inverse = tl.rsqrt(tl.sum(x * x, 1) / dim + eps)[:, None]
    return x * inverse, inverse


@triton.jit
def normal_gradient(grad, normal, inverse, is_column, dim: tl.constexpr, centred: tl.constexpr):
    """The gradient of rows, from that of `normal_of` them."""
    out = grad - normal * (tl.sum(grad * normal, 1) / dim)[:, None]
    if centred:
        out -= (tl.sum(grad, 1) / dim)[:, None]
    return tl.where(is_column[None, :], out * inverse, 0.0)


def blocks_of(x: Tensor, **switches: bool) -> tuple[int, dict[str, Any]]:
    """How many rows of channels there are, and what kernels that hold whole rows are compiled for."""
    dim = x.shape[-1]
    dim_block = int(triton.next_power_of_2(dim))
    constants = {"dim": dim, "dim_block": dim_block, "row_block": max(1, ELEMENTS // dim_block)}
    return x.numel() // dim, constants | switches


def cost_without_macs(special: MacsFormula) -> CostFormulas:
    """Of norms and gates: their multiply-adds do not count."""
    return CostFormulas(_no_macs, _no_macs, _no_macs, _no_macs, special)


def _no_macs(*_: Any, **__: Any) -> int:
    return 0
