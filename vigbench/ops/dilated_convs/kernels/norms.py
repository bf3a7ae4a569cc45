"""GroupNorm of single channels and PReLU behind the convolutions, forward and backward."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.kernel_math import load_float32, zeros_row


class VolumeNorm(NamedTuple):
    """One of the (batch * 3 * channels) volumes: its number (int64), and the numbers that its voxels share."""

    number: Any
    mean: Any
    inverse: Any
    weight: Any
    bias: Any
    slope: Any


@triton.jit
def _of_branch(tensors, branch, at):
    """A number out of that branch's tensor, in float32."""
    first = load_float32(tensors[0], at, branch == 0)
    return first + load_float32(tensors[1], at, branch == 1) + load_float32(tensors[2], at, branch == 2)


@triton.jit
def _row(number, statistics, weights, biases, slopes, channels):
    branch, channel = number // channels % 3, number % channels
    number = number.to(tl.int64)
    mean, inverse = tl.load(statistics + number * 2), tl.load(statistics + number * 2 + 1)
    weight, bias = _of_branch(weights, branch, channel), _of_branch(biases, branch, channel)
    return VolumeNorm(number, mean, inverse, weight, bias, _of_branch(slopes, branch, 0))


@triton.jit(do_not_specialize=["channels", "blocks"])
def dilated_convs_activate(
    y, statistics, weights, biases, slopes, out, channels, volume, blocks, block: tl.constexpr
):  # fmt: skip
    """PReLU of the norm of y, which may be where `out` is. Grid: (rows * blocks of voxels)."""
    row = _row(tl.program_id(0) // blocks, statistics, weights, biases, slopes, channels)
    voxel = tl.program_id(0) % blocks * block + tl.arange(0, block)
    normal = (load_float32(y + row.number * volume, voxel, voxel < volume) - row.mean) * row.inverse
    value = normal * row.weight + row.bias
    value = tl.where(value > 0, value, value * row.slope)
    tl.store(out + row.number * volume + voxel, value.to(out.dtype.element_ty), mask=voxel < volume)


@triton.jit
def _through_prelu(grad, y, row, voxel, volume):
    """The gradients of the norm's result and of the slope, and y normalised; all zero outside of the volume."""
    inside = voxel < volume
    grad = load_float32(grad + row.number * volume, voxel, inside)
    normal = (load_float32(y + row.number * volume, voxel, inside) - row.mean) * row.inverse
    value = normal * row.weight + row.bias
    return tl.where(value > 0, grad, grad * row.slope), tl.where(value > 0, 0.0, grad * value), normal


@triton.jit(do_not_specialize=["channels", "share"])
def dilated_convs_norm_sums(
    grad, y, statistics, weights, biases, slopes, parts, channels, volume, share, block: tl.constexpr
):  # fmt: skip
    """Parts of a row's sums: gradients of the norm's bias, its weight and the slope. `parts` is (3, rows, parts).

    Grid: (rows, parts); a program sums `share` voxels, of which a whole number of blocks.
    """
    row = _row(tl.program_id(0), statistics, weights, biases, slopes, channels)
    biased, weighted, sloped = zeros_row(block), zeros_row(block), zeros_row(block)
    first = tl.program_id(1) * share
    for start in range(first, tl.minimum(first + share, volume), block):
        from_prelu, from_slope, normal = _through_prelu(grad, y, row, start + tl.arange(0, block), volume)
        biased += from_prelu
        weighted += from_prelu * normal
        sloped += from_slope
    own = parts + row.number * tl.num_programs(1) + tl.program_id(1)
    every = tl.num_programs(0).to(tl.int64) * tl.num_programs(1)
    tl.store(own, tl.sum(biased, 0))
    tl.store(own + every, tl.sum(weighted, 0))
    tl.store(own + 2 * every, tl.sum(sloped, 0))


@triton.jit(do_not_specialize=["channels", "count", "blocks"])
def dilated_convs_norm_gradient(
    grad, y, statistics, weights, biases, slopes, parts, d_y, channels, volume, count, blocks, block: tl.constexpr,
    part_block: tl.constexpr,
):  # fmt: skip
    """The gradient of y, from that of the result and the `count` parts of each row's sums. Grid: (rows * blocks)."""
    row = _row(tl.program_id(0) // blocks, statistics, weights, biases, slopes, channels)
    n = tl.arange(0, part_block)
    parts += row.number * count
    biased = tl.sum(load_float32(parts, n, n < count), 0) / volume
    parts += (tl.num_programs(0) // blocks).to(tl.int64) * count
    weighted = tl.sum(load_float32(parts, n, n < count), 0) / volume
    voxel = tl.program_id(0) % blocks * block + tl.arange(0, block)
    from_prelu, _, normal = _through_prelu(grad, y, row, voxel, volume)
    value = (from_prelu - biased - normal * weighted) * (row.weight * row.inverse)
    tl.store(d_y + row.number * volume + voxel, value.to(d_y.dtype.element_ty), mask=voxel < volume)
