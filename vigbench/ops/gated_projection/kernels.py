"""The Triton kernel of a gated norm, an output projection and a residual."""

from typing import NamedTuple

import triton
import triton.language as tl

from vigbench.ops.kernel_math import zeros
from vigbench.ops.product_tiles import load_factor, replaced, span
from vigbench.ops.row_norm import load_channels, load_rows, normal_of


class ProjectionVariant(NamedTuple):
    """What a kernel is compiled for.

    Attributes:
        dim: width of the stream.
        heads, head, head_block: of the mixer, a head's channels, and the power of two that covers them.
        part, parts: channels of the stream multiplied at once, a power of two, and how many such parts cover them.
        row_block: tokens handled at once, a power of two.
        even: whether blocks cover both widths without a rest.
        act, residual: whether SiLU follows the mixing, and whether something is added.
    """

    dim: int
    heads: int
    head: int
    head_block: int
    part: int
    parts: int
    row_block: int
    even: bool
    act: bool
    residual: bool


@triton.jit
def _mixed(
    o, local, gate, gate_stride, gate_bias, o_weight, local_weight, row, is_row, head, eps, variant: tl.constexpr
):  # fmt: skip
    """One head of the projection's input, (rows, channels) in float32."""
    channels = tl.arange(0, variant.head_block)
    is_channel = channels < variant.head
    columns = head * variant.head + channels
    o_normal, _ = normal_of(
        load_rows(o, row, variant.heads * variant.head, columns, is_row, is_channel),
        is_channel, eps, variant.head, False,
    )  # fmt: skip
    l_normal, _ = normal_of(
        load_rows(local, row, variant.heads * variant.head, columns, is_row, is_channel),
        is_channel, eps, variant.head, False,
    )  # fmt: skip
    first = l_normal * load_channels(local_weight, channels, is_channel)
    second = o_normal * load_channels(o_weight, channels, is_channel)
    share = load_rows(gate, row, gate_stride, columns, is_row, is_channel)
    share += load_channels(gate_bias, columns, is_channel)
    mixed = first + tl.sigmoid(share) * (second - first)
    return mixed * tl.sigmoid(mixed) if variant.act else mixed


@triton.jit(do_not_specialize=["rows"])
def gated_projection_forward(
    o, local, gate, gate_stride, gate_bias, o_weight, local_weight, weight, residual, out, rows, eps,
    variant: tl.constexpr,
):  # fmt: skip
    """Grid: (blocks of rows). o and local are contiguous, a row of the gate is `gate_stride` behind the one before."""
    parts: tl.constexpr = variant.parts
    dtype: tl.constexpr = weight.dtype.element_ty
    row = span(tl.program_id(0).to(tl.int64) * variant.row_block, variant.row_block)
    is_row = row < rows
    zero = zeros(variant.row_block, variant.part)
    total = (zero, zero, zero, zero)
    for head in range(variant.heads):
        mixed = _mixed(
            o, local, gate, gate_stride, gate_bias, o_weight, local_weight, row, is_row, head, eps, variant
        ).to(dtype)
        channels = tl.arange(0, variant.head_block)
        for n in tl.static_range(parts):
            w = load_factor(
                weight, span(n * variant.part, variant.part), variant.dim, head * variant.head + channels,
                channels < variant.head, variant.heads * variant.head, variant.even,
            )  # fmt: skip
            total = replaced(total, n, tl.dot(mixed, w, total[n], input_precision="ieee"))
    for n in tl.static_range(parts):
        columns = span(n * variant.part, variant.part)
        y = total[n]
        if variant.residual:
            y += load_rows(residual, row, variant.dim, columns, is_row, columns < variant.dim)
        at = row[:, None] * variant.dim + columns[None, :]
        tl.store(out + at, y.to(out.dtype.element_ty), mask=is_row[:, None] & (columns < variant.dim)[None, :])
