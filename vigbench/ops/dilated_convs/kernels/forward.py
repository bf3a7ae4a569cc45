"""Three dilated convolutions from one walk through a volume, and the mean and variance of what they give."""

import triton
import triton.language as tl

from vigbench.ops.dilated_convs.kernels.planes import branch_row, load_shifted, load_taps, plane_products, tile_of
from vigbench.ops.kernel_math import load_float32, zeros_row


@triton.jit
def _complete(y, branch: tl.constexpr, total, plane, tile, mean, squares):
    """Write a plane of a branch; the means of its lanes, and their sums of squares around them, with it (Welford)."""
    there = (plane >= tile.first) & (plane < tile.last)
    value = total.to(y.dtype.element_ty)
    at = plane * tile.area + tile.voxel
    tl.store(y + branch_row(tile, branch) * tile.volume + at, value, mask=tile.inside & there)
    value = value.to(tl.float32)  # as the norm will read it
    step = tl.where(there, value - mean, 0.0)
    mean += step / tl.maximum(plane - tile.first + 1, 1).to(tl.float32)
    return mean, squares + step * (value - mean)


@triton.jit
def _store_part(parts, branch: tl.constexpr, tile, mean, squares):
    """How many values the program saw of a branch, their mean, and their sum of squares around it (Chan et al.)."""
    planes = (tile.last - tile.first).to(tl.float32)
    lanes = tl.sum(tile.inside.to(tl.float32), 0)
    centre = tl.sum(tl.where(tile.inside, mean, 0.0), 0) / lanes
    squares += planes * (mean - centre) * (mean - centre)
    own = parts + (branch_row(tile, branch) * tile.parts + tile.part) * 3
    tl.store(own, planes * lanes)
    tl.store(own + 1, centre)
    tl.store(own + 2, tl.sum(tl.where(tile.inside, squares, 0.0), 0))


@triton.jit(do_not_specialize=["channels", "depth", "height", "width", "segment"])
def dilated_convs_forward(
    x, weights, biases, y, parts, channels, depth, height, width, segment, block: tl.constexpr
):  # fmt: skip
    """The convolutions y, (batch, 3 * channels, depth, height, width), and `parts` of their statistics.

    A program reads the planes of its tile and the three on either side, each at 25 places, once; results that later
    planes add to wait in registers: 2, 4 and 6 planes of the three branches. `parts` is (batch * 3 * channels, parts,
    3): count, mean, sum of squares around it. Grid: (batch * channels * segments * tiles).
    """
    tile = tile_of(tl.program_id(0), channels, depth, height, width, segment, block)
    x += tile.row * tile.volume
    taps1, taps2, taps3 = load_taps(weights[0], tile), load_taps(weights[1], tile), load_taps(weights[2], tile)
    bias1 = tl.load(biases[0] + tile.channel).to(tl.float32)
    bias2 = tl.load(biases[1] + tile.channel).to(tl.float32)
    bias3 = tl.load(biases[2] + tile.channel).to(tl.float32)
    zero = zeros_row(block)
    a0, a1 = zero, zero  # of the results of a branch, those behind come first
    b0, b1, b2, b3 = zero, zero, zero, zero
    c0, c1, c2, c3, c4, c5 = zero, zero, zero, zero, zero, zero
    mean1, mean2, mean3 = zero, zero, zero
    squares1, squares2, squares3 = zero, zero, zero
    for plane in range(tile.first - 3, tile.last + 3):
        centre = load_shifted(x, plane, (plane >= 0) & (plane < depth), tile, 0, 0)
        ahead, here, behind = plane_products(x, plane, tile, centre, taps1, 1, False)
        mean1, squares1 = _complete(y, 0, a0 + behind + bias1, plane - 1, tile, mean1, squares1)
        a0, a1 = a1 + here, ahead
        ahead, here, behind = plane_products(x, plane, tile, centre, taps2, 2, False)
        mean2, squares2 = _complete(y, 1, b0 + behind + bias2, plane - 2, tile, mean2, squares2)
        b0, b1, b2, b3 = b1, b2 + here, b3, ahead
        ahead, here, behind = plane_products(x, plane, tile, centre, taps3, 3, False)
        mean3, squares3 = _complete(y, 2, c0 + behind + bias3, plane - 3, tile, mean3, squares3)
        c0, c1, c2, c3, c4, c5 = c1, c2, c3 + here, c4, c5, ahead
    _store_part(parts, 0, tile, mean1, squares1)
    _store_part(parts, 1, tile, mean2, squares2)
    _store_part(parts, 2, tile, mean3, squares3)


@triton.jit(do_not_specialize=["count"])
def dilated_convs_statistics(parts, statistics, count, eps, block: tl.constexpr):
    """Mean and inverse deviation of each row, (rows, 2), from its `count` parts, in their order. Grid: (rows)."""
    row = tl.program_id(0).to(tl.int64)
    parts += row * count * 3
    weighted, values, around = zeros_row(block), zeros_row(block), zeros_row(block)
    for first in range(0, count, block):
        n = first + tl.arange(0, block)
        seen = load_float32(parts, n * 3, n < count)
        values += seen
        weighted += seen * load_float32(parts, n * 3 + 1, n < count)
    total = tl.sum(values, 0)
    mean = tl.sum(weighted, 0) / total
    for first in range(0, count, block):
        n = first + tl.arange(0, block)
        deviation = load_float32(parts, n * 3 + 1, n < count) - mean
        around += load_float32(parts, n * 3 + 2, n < count)
        around += load_float32(parts, n * 3, n < count) * deviation * deviation
    tl.store(statistics + row * 2, mean)
    tl.store(statistics + row * 2 + 1, tl.rsqrt(tl.sum(around, 0) / total + eps))
