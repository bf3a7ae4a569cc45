"""The Triton kernels of a norm and a depthwise 3x3 convolution over a grid of tokens, forward and backward."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.row_norm import load_channels, load_rows, normal_gradient, normal_of


class ConvVariant(NamedTuple):
    """What a kernel is compiled for.

    Attributes:
        dim, dim_block: channels, and the power of two that covers them.
        column_block: tokens of a row handled at once, a power of two.
        centred: whether the norm is LayerNorm, with a bias, and not RMSNorm.
        act: whether SiLU follows.
    """

    dim: int
    dim_block: int
    column_block: int
    centred: bool
    act: bool


class Grid(NamedTuple):
    """A (batch, height, width, dim) tensor's sizes as a program sees them, and which image it works on."""

    batch: Any
    height: Any
    width: Any


@triton.jit
def _tokens(grid, row, columns):
    """Numbers of a row's tokens in memory, and which of them there are."""
    token = (grid.batch.to(tl.int64) * grid.height + row) * grid.width + columns
    return token, (columns >= 0) & (columns < grid.width) & (row >= 0) & (row < grid.height)


@triton.jit
def _load(x, grid, row, columns, variant: tl.constexpr):
    """(columns, channels) of a row of tokens; zero outside the image."""
    channels = tl.arange(0, variant.dim_block)
    token, valid = _tokens(grid, row, columns)
    return load_rows(x, token, variant.dim, channels, valid, channels < variant.dim)


@triton.jit
def _store(x, grid, row, columns, values, variant: tl.constexpr):
    """Write `values` where `_load` would read."""
    channels = tl.arange(0, variant.dim_block)
    token, valid = _tokens(grid, row, columns)
    mask = valid[:, None] & (channels < variant.dim)[None, :]
    tl.store(x + token[:, None] * variant.dim + channels[None, :], values.to(x.dtype.element_ty), mask=mask)


@triton.jit
def _normalised(x, norm_weight, norm_bias, grid, row, columns, eps, variant: tl.constexpr):
    """What the convolution sees of a row of tokens, (columns, channels); zero outside the image."""
    channels = tl.arange(0, variant.dim_block)
    is_channel = channels < variant.dim
    normal, _ = normal_of(_load(x, grid, row, columns, variant), is_channel, eps, variant.dim, variant.centred)
    normal *= load_channels(norm_weight, channels, is_channel)
    if variant.centred:
        _, valid = _tokens(grid, row, columns)
        normal = tl.where(valid[:, None], normal + load_channels(norm_bias, channels, is_channel), 0.0)
    return normal


@triton.jit
def _tap(weight, n: tl.constexpr, variant: tl.constexpr):
    """(1, channels) of one of the nine."""
    channels = tl.arange(0, variant.dim_block)
    return tl.load(weight + channels * 9 + n, mask=channels < variant.dim, other=0.0).to(tl.float32)[None, :]


@triton.jit
def _taps(weight, first: tl.constexpr, left, middle, right, variant: tl.constexpr):
    """What a row of tokens adds to one of the three rows of results that it is seen by."""
    total = left * _tap(weight, first, variant) + middle * _tap(weight, first + 1, variant)
    return total + right * _tap(weight, first + 2, variant)


@triton.jit(do_not_specialize=["height", "width", "segment"])
def norm_conv_walk(
    x, norm_weight, norm_bias, weight, grad, out, height, width, segment, eps, variant: tl.constexpr,
    gradient: tl.constexpr,
):  # fmt: skip
    """The result, or with `gradient` the gradient before SiLU, (batch, height, width, dim).

    A program walks down `segment` rows of a strip of columns: a row is normalised once for each column it is seen from,
    and added to the results of the row above, its own and the one below. Grid: (strips, segments, batch).
    """
    grid = Grid(tl.program_id(2), height, width)
    columns = tl.program_id(0) * variant.column_block + tl.arange(0, variant.column_block)
    first = tl.program_id(1) * segment
    last = tl.minimum(first + segment, height)
    here = _load(x, grid, -1, columns, variant)  # of the row to come, from the rows before it: nothing yet
    above = here
    for row in range(first - 1, last + 1):
        left = _normalised(x, norm_weight, norm_bias, grid, row, columns - 1, eps, variant)
        middle = _normalised(x, norm_weight, norm_bias, grid, row, columns, eps, variant)
        right = _normalised(x, norm_weight, norm_bias, grid, row, columns + 1, eps, variant)
        total = above + _taps(weight, 6, left, middle, right, variant)
        above = here + _taps(weight, 3, left, middle, right, variant)
        here = _taps(weight, 0, left, middle, right, variant)
        if row > first:
            if variant.act:
                on = tl.sigmoid(total)
                if gradient:
                    dy = _load(grad, grid, row - 1, columns, variant)
                    total = dy * on * (1.0 + total * (1.0 - on))
                else:
                    total *= on
            _store(out, grid, row - 1, columns, total, variant)


@triton.jit
def _block(n, height, width, variant: tl.constexpr):
    """The `n`-th block of columns: its image, row and columns."""
    strips = tl.cdiv(width, variant.column_block)
    columns = n % strips * variant.column_block + tl.arange(0, variant.column_block)
    return Grid(n // strips // height, height, width), n // strips % height, columns


@triton.jit(do_not_specialize=["height", "width", "blocks"])
def norm_conv_weight_gradient(
    x, norm_weight, norm_bias, d_out, d_weight, height, width, blocks, eps, variant: tl.constexpr
):  # fmt: skip
    """Parts of it, (programs, 3, 3, dim) in float32. Grid: (programs, 3): each takes one row of the nine taps."""
    tap_row = tl.program_id(1)
    channels = tl.arange(0, variant.dim_block)
    zero = tl.arange(0, variant.column_block).to(tl.float32)[:, None] * 0.0 + (channels * 0.0)[None, :]
    left, middle, right = zero, zero, zero
    for n in range(tl.program_id(0), blocks, tl.num_programs(0)):
        grid, row, columns = _block(n, height, width, variant)
        dy = _load(d_out, grid, row, columns, variant)
        seen = row + tap_row - 1
        left += dy * _normalised(x, norm_weight, norm_bias, grid, seen, columns - 1, eps, variant)
        middle += dy * _normalised(x, norm_weight, norm_bias, grid, seen, columns, eps, variant)
        right += dy * _normalised(x, norm_weight, norm_bias, grid, seen, columns + 1, eps, variant)
    own = d_weight + (tl.program_id(0) * 9 + tap_row * 3) * variant.dim + channels
    tl.store(own, tl.sum(left, 0), mask=channels < variant.dim)
    tl.store(own + variant.dim, tl.sum(middle, 0), mask=channels < variant.dim)
    tl.store(own + 2 * variant.dim, tl.sum(right, 0), mask=channels < variant.dim)


@triton.jit(do_not_specialize=["height", "width", "blocks"])
def norm_conv_input_gradient(
    x, norm_weight, weight, d_out, d_x, d_norm_weight, d_norm_bias, height, width, blocks, eps, variant: tl.constexpr
):  # fmt: skip
    """That of x, and parts of the norm's, (programs, dim) in float32. Grid: (programs)."""
    channels = tl.arange(0, variant.dim_block)
    is_channel = channels < variant.dim
    sums = channels * 0.0
    bias_sums = sums
    for n in range(tl.program_id(0), blocks, tl.num_programs(0)):
        grid, row, columns = _block(n, height, width, variant)
        dy = _taps(
            weight, 0, _load(d_out, grid, row + 1, columns + 1, variant), _load(d_out, grid, row + 1, columns, variant),
            _load(d_out, grid, row + 1, columns - 1, variant), variant,
        )  # fmt: skip
        dy += _taps(
            weight, 3, _load(d_out, grid, row, columns + 1, variant), _load(d_out, grid, row, columns, variant),
            _load(d_out, grid, row, columns - 1, variant), variant,
        )  # fmt: skip
        dy += _taps(
            weight, 6, _load(d_out, grid, row - 1, columns + 1, variant), _load(d_out, grid, row - 1, columns, variant),
            _load(d_out, grid, row - 1, columns - 1, variant), variant,
        )  # fmt: skip
        _, valid = _tokens(grid, row, columns)
        dy = tl.where(valid[:, None], dy, 0.0)
        normal, inverse = normal_of(
            _load(x, grid, row, columns, variant), is_channel, eps, variant.dim, variant.centred
        )
        sums += tl.sum(dy * normal, 0)
        bias_sums += tl.sum(dy, 0)
        dy *= load_channels(norm_weight, channels, is_channel)
        out = normal_gradient(dy, normal, inverse, is_channel, variant.dim, variant.centred)
        _store(d_x, grid, row, columns, out, variant)
    own = tl.program_id(0) * variant.dim + channels
    tl.store(d_norm_weight + own, sums, mask=is_channel)
    if variant.centred:
        tl.store(d_norm_bias + own, bias_sums, mask=is_channel)
