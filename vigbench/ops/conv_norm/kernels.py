"""The Triton kernel of a convolution, LayerNorm over its channels and SiLU."""

from typing import NamedTuple

import triton
import triton.language as tl

from vigbench.ops.kernel_math import zeros
from vigbench.ops.product_tiles import load_factor, replaced, span
from vigbench.ops.row_norm import load_channels


class StemVariant(NamedTuple):
    """What a kernel is compiled for.

    Attributes:
        inner, size: channels of the image, and the side of the convolution's window.
        stride, padding: of the convolution.
        dim: channels of the result.
        part, parts: of them handled at once, a power of two, and how many such parts cover them.
        row_block, inner_block: positions, and numbers of a window, handled at once; powers of two from 16.
    """

    inner: int
    size: int
    stride: int
    padding: int
    dim: int
    part: int
    parts: int
    row_block: int
    inner_block: int


@triton.jit
def _windows(x, strides, batch, top, left, is_row, n, height, width, variant: tl.constexpr):
    """Numbers `n` of the windows at these positions, (rows, n): channel by channel, row by row, zero outside."""
    taps: tl.constexpr = variant.size * variant.size
    y = top[:, None] + (n % taps // variant.size)[None, :]
    x_at = left[:, None] + (n % variant.size)[None, :]
    inside = (y >= 0) & (y < height) & (x_at >= 0) & (x_at < width)
    mask = inside & is_row[:, None] & (n < variant.inner * taps)[None, :]
    at = (batch * strides[0])[:, None] + (n // taps * strides[1])[None, :] + y * strides[2] + x_at * strides[3]
    return tl.load(x + at, mask=mask, other=0.0)


@triton.jit(do_not_specialize=["height", "width", "rows", "columns", "positions"])
def conv_norm_forward(
    x, strides, weight, bias, norm_weight, norm_bias, out, height, width, rows, columns, positions, eps,
    variant: tl.constexpr,
):  # fmt: skip
    """The result, (positions, dim), as a product of windows and weights. Grid: (blocks of positions)."""
    parts: tl.constexpr = variant.parts
    window: tl.constexpr = variant.inner * variant.size * variant.size
    row = span(tl.program_id(0).to(tl.int64) * variant.row_block, variant.row_block)
    is_row = row < positions
    top = row // columns % rows * variant.stride - variant.padding
    left = row % columns * variant.stride - variant.padding
    zero = zeros(variant.row_block, variant.part)
    total = (zero, zero, zero, zero)
    for first in range(0, window, variant.inner_block):
        n = span(first, variant.inner_block)
        seen = _windows(x, strides, row // columns // rows, top, left, is_row, n, height, width, variant)
        for i in tl.static_range(parts):
            w = load_factor(weight, span(i * variant.part, variant.part), variant.dim, n, n < window, window, False)
            total = replaced(total, i, tl.dot(seen, w, total[i], input_precision="ieee"))
    mean = tl.sum(zero, 1)
    for i in tl.static_range(parts):
        channels = span(i * variant.part, variant.part)
        y = total[i] + load_channels(bias, channels, channels < variant.dim)
        total = replaced(total, i, y)
        mean += tl.sum(y, 1)
    mean = (mean / variant.dim)[:, None]
    squares = tl.sum(zero, 1)
    for i in tl.static_range(parts):
        channels = span(i * variant.part, variant.part)
        y = tl.where((channels < variant.dim)[None, :], total[i] - mean, 0.0)
        squares += tl.sum(y * y, 1)
    inverse = tl.rsqrt(squares / variant.dim + eps)[:, None]
    for i in tl.static_range(parts):
        channels = span(i * variant.part, variant.part)
        is_channel = channels < variant.dim
        y = (total[i] - mean) * inverse * load_channels(norm_weight, channels, is_channel)
        y += load_channels(norm_bias, channels, is_channel)
        at = row[:, None] * variant.dim + channels[None, :]
        y = y * tl.sigmoid(y)
        tl.store(out + at, y.to(out.dtype.element_ty), mask=is_row[:, None] & is_channel[None, :])
