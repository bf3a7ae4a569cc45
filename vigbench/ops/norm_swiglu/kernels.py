"""The Triton kernels of a norm and a SwiGLU MLP: the whole of it, its first half, and what its backward needs."""

from typing import NamedTuple

import triton
import triton.language as tl

from vigbench.ops.kernel_math import zeros
from vigbench.ops.product_tiles import load_factor, replaced, span
from vigbench.ops.row_norm import load_channels, load_rows, normal_gradient, normal_of


class MlpVariant(NamedTuple):
    """What a kernel is compiled for.

    Attributes:
        dim, hidden: widths of the stream and of the hidden layer.
        part, parts: channels of the stream multiplied at once, a power of two, and how many such parts cover them.
        row_block, hidden_block: tokens, and channels of the hidden layer, handled at once; powers of two.
        even: whether blocks cover both widths without a rest.
        centred: whether the norm is LayerNorm, with a bias, and not RMSNorm.
        residual: whether the stream is added.
    """

    dim: int
    hidden: int
    part: int
    parts: int
    row_block: int
    hidden_block: int
    even: bool
    centred: bool
    residual: bool


@triton.jit
def _statistics(x, row, is_row, eps, variant: tl.constexpr):
    """The mean, 0 of a norm that is not centred, and the inverse of the root mean square: (rows, 1)."""
    total = tl.sum(zeros(variant.row_block, variant.part), 1)
    squares = total
    for n in range(variant.parts):
        channels = span(n * variant.part, variant.part)
        tile = load_rows(x, row, variant.dim, channels, is_row, channels < variant.dim)
        total += tl.sum(tile, 1)
        squares += tl.sum(tile * tile, 1)
    mean = (total / variant.dim)[:, None] if variant.centred else (total * 0.0)[:, None]
    if variant.centred:  # anew, around the mean: a difference of squares would cancel
        squares = total * 0.0
        for n in range(variant.parts):
            channels = span(n * variant.part, variant.part)
            is_channel = channels < variant.dim
            tile = load_rows(x, row, variant.dim, channels, is_row, is_channel)
            tile = tl.where(is_channel[None, :], tile - mean, 0.0)
            squares += tl.sum(tile * tile, 1)
    return mean, tl.rsqrt(squares / variant.dim + eps)[:, None]


@triton.jit
def _normalised(x, norm_weight, norm_bias, row, is_row, channels, mean, inverse, variant: tl.constexpr):
    """(rows, channels) of the normalised stream in float32."""
    is_channel = channels < variant.dim
    tile = load_rows(x, row, variant.dim, channels, is_row, is_channel)
    tile = (tile - mean) * inverse * load_channels(norm_weight, channels, is_channel)
    return tile + load_channels(norm_bias, channels, is_channel) if variant.centred else tile


@triton.jit(do_not_specialize=["rows"])
def mlp_whole(x, norm_weight, norm_bias, gate_weight, down_weight, out, rows, eps, variant: tl.constexpr):
    """All of it. Grid: (blocks of rows)."""
    parts: tl.constexpr = variant.parts
    dtype: tl.constexpr = gate_weight.dtype.element_ty
    up_weight = gate_weight + variant.hidden * variant.dim
    row = span(tl.program_id(0).to(tl.int64) * variant.row_block, variant.row_block)
    is_row = row < rows
    mean, inverse = _statistics(x, row, is_row, eps, variant)
    zero = zeros(variant.row_block, variant.part)
    total, normal = (zero, zero, zero, zero), (zero.to(dtype), zero.to(dtype), zero.to(dtype), zero.to(dtype))
    for n in tl.static_range(parts):
        channels = span(n * variant.part, variant.part)
        tile = _normalised(x, norm_weight, norm_bias, row, is_row, channels, mean, inverse, variant)
        normal = replaced(normal, n, tile.to(dtype))
    for first in range(0, variant.hidden, variant.hidden_block):
        units = span(first, variant.hidden_block)
        gate = zeros(variant.row_block, variant.hidden_block)
        up = gate
        for n in tl.static_range(parts):
            channels = span(n * variant.part, variant.part)
            gate = tl.dot(
                normal[n],
                load_factor(
                    gate_weight, units, variant.hidden, channels, channels < variant.dim, variant.dim, variant.even
                ),
                gate,
                input_precision="ieee",
            )
            up = tl.dot(
                normal[n],
                load_factor(
                    up_weight, units, variant.hidden, channels, channels < variant.dim, variant.dim, variant.even
                ),
                up,
                input_precision="ieee",
            )
        active = (gate * tl.sigmoid(gate) * up).to(dtype)
        for n in tl.static_range(parts):
            channels = span(n * variant.part, variant.part)
            w = load_factor(
                down_weight, channels, variant.dim, units, units < variant.hidden, variant.hidden, variant.even
            )
            total = replaced(total, n, tl.dot(active, w, total[n], input_precision="ieee"))
    for n in tl.static_range(parts):
        channels = span(n * variant.part, variant.part)
        is_channel = channels < variant.dim
        y = total[n]
        if variant.residual:
            y += load_rows(x, row, variant.dim, channels, is_row, is_channel)
        at = row[:, None] * variant.dim + channels[None, :]
        tl.store(out + at, y.to(out.dtype.element_ty), mask=is_row[:, None] & is_channel[None, :])


@triton.jit(do_not_specialize=["rows"])
def mlp_hidden(x, norm_weight, norm_bias, gate_weight, out, rows, eps, variant: tl.constexpr):
    """The hidden layer of wide models, (rows, hidden). Grid: (blocks of hidden channels, blocks of rows)."""
    dtype: tl.constexpr = gate_weight.dtype.element_ty
    up_weight = gate_weight + variant.hidden * variant.dim
    units = span(tl.program_id(0) * variant.hidden_block, variant.hidden_block)
    row = span(tl.program_id(1).to(tl.int64) * variant.row_block, variant.row_block)
    is_row = row < rows
    mean, inverse = _statistics(x, row, is_row, eps, variant)
    gate = zeros(variant.row_block, variant.hidden_block)
    up = gate
    for n in range(variant.parts):
        channels = span(n * variant.part, variant.part)
        normal = _normalised(x, norm_weight, norm_bias, row, is_row, channels, mean, inverse, variant).to(dtype)
        w = load_factor(gate_weight, units, variant.hidden, channels, channels < variant.dim, variant.dim, variant.even)
        gate = tl.dot(normal, w, gate, input_precision="ieee")
        w = load_factor(up_weight, units, variant.hidden, channels, channels < variant.dim, variant.dim, variant.even)
        up = tl.dot(normal, w, up, input_precision="ieee")
    active = gate * tl.sigmoid(gate) * up
    at = row[:, None] * variant.hidden + units[None, :]
    tl.store(out + at, active.to(out.dtype.element_ty), mask=is_row[:, None] & (units < variant.hidden)[None, :])


@triton.jit(do_not_specialize=["rows"])
def row_norm(
    x, weight, bias, out, rows, eps, dim: tl.constexpr, dim_block: tl.constexpr, row_block: tl.constexpr,
    centred: tl.constexpr,
):  # fmt: skip
    """The normalised stream, recomputed for the backward. Grid: (blocks of rows)."""
    row, channels = span(tl.program_id(0).to(tl.int64) * row_block, row_block), tl.arange(0, dim_block)
    is_row, is_channel = row < rows, channels < dim
    normal, _ = normal_of(load_rows(x, row, dim, channels, is_row, is_channel), is_channel, eps, dim, centred)
    y = normal * load_channels(weight, channels, is_channel)
    if centred:
        y += load_channels(bias, channels, is_channel)
    at = row[:, None] * dim + channels[None, :]
    tl.store(out + at, y.to(out.dtype.element_ty), mask=is_row[:, None] & is_channel[None, :])


@triton.jit(do_not_specialize=["elements"])
def swiglu_gradient(halves, grad, active, elements, hidden: tl.constexpr, block: tl.constexpr):
    """The hidden layer, and the gradient of gate and up in their own place. Grid: (blocks of `elements` of it)."""
    n = span(tl.program_id(0).to(tl.int64) * block, block)
    mask = n < elements
    at = n // hidden * (2 * hidden) + n % hidden
    gate = tl.load(halves + at, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(halves + at + hidden, mask=mask, other=0.0).to(tl.float32)
    dy = tl.load(grad + n, mask=mask, other=0.0).to(tl.float32)
    on = tl.sigmoid(gate)
    silu = gate * on
    dtype: tl.constexpr = halves.dtype.element_ty
    tl.store(active + n, (silu * up).to(dtype), mask=mask)
    tl.store(halves + at, (dy * up * on * (1.0 + gate * (1.0 - on))).to(dtype), mask=mask)
    tl.store(halves + at + hidden, (dy * silu).to(dtype), mask=mask)


@triton.jit(do_not_specialize=["rows"])
def row_norm_gradient(
    grad, beside, x, weight, d_x, d_weight, d_bias, rows, eps, dim: tl.constexpr, dim_block: tl.constexpr,
    row_block: tl.constexpr, centred: tl.constexpr, residual: tl.constexpr,
):  # fmt: skip
    """The gradient of the stream, through the norm and, with `residual`, from `beside` it.

    Grid: (programs), each taking every so many blocks of rows; gradients of weights are (programs, dim), float32.
    """
    channels = tl.arange(0, dim_block)
    is_channel = channels < dim
    w = load_channels(weight, channels, is_channel)
    sums = tl.sum(zeros(row_block, dim_block), 0)
    bias_sums = sums
    for block in range(tl.program_id(0), tl.cdiv(rows, row_block), tl.num_programs(0)):
        row = block * row_block + tl.arange(0, row_block).to(tl.int64)
        is_row = row < rows
        normal, inverse = normal_of(load_rows(x, row, dim, channels, is_row, is_channel), is_channel, eps, dim, centred)
        dy = load_rows(grad, row, dim, channels, is_row, is_channel)
        sums += tl.sum(dy * normal, 0)
        bias_sums += tl.sum(dy, 0)
        out = normal_gradient(dy * w, normal, inverse, is_channel, dim, centred)
        if residual:
            out += load_rows(beside, row, dim, channels, is_row, is_channel)
        at = row[:, None] * dim + channels[None, :]
        tl.store(d_x + at, out.to(d_x.dtype.element_ty), mask=is_row[:, None] & is_channel[None, :])
    own = tl.program_id(0) * dim + channels
    tl.store(d_weight + own, sums, mask=is_channel)
    if centred:
        tl.store(d_bias + own, bias_sums, mask=is_channel)
