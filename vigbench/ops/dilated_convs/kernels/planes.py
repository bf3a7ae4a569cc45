"""What the convolutions' kernels share: a channel's taps, and what one plane of a volume adds to those around it."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.kernel_math import load_float32


class Tile(NamedTuple):
    """Voxels of a plane, a lane each, in row-major order, and the planes that a program walks through.

    Attributes:
        depth, height, width, channels: sizes of x; `area` and `volume`: voxels in a plane, and in all of them (int64).
        row: of the (batch * channels) volumes, int64, that of a channel in an image.
        channel, image: which those are; image is int64.
        part, parts: which part of the volume this is, and how many there are.
        first, last: planes that the program is for: from `first` to before `last`.
        voxel, line, column: numbers of the voxels in their plane, and where they lie in it.
        inside: which of them there are.
    """

    depth: Any
    height: Any
    width: Any
    channels: Any
    area: Any
    volume: Any
    row: Any
    channel: Any
    image: Any
    part: Any
    parts: Any
    first: Any
    last: Any
    voxel: Any
    line: Any
    column: Any
    inside: Any


@triton.jit
def tile_of(program, channels, depth, height, width, segment, block: tl.constexpr):
    """What a program works on: neighbours have the next tile of `block` voxels, segment of planes, or volume."""
    area = height * width
    tiles = tl.cdiv(area, block)
    segments = tl.cdiv(depth, segment)
    parts = tiles * segments
    row = program // parts
    first = program // tiles % segments * segment
    last = tl.minimum(first + segment, depth)
    voxel = program % tiles * block + tl.arange(0, block)
    return Tile(
        depth, height, width, channels, area, area.to(tl.int64) * depth, row.to(tl.int64), row % channels,
        (row // channels).to(tl.int64), program % parts, parts, first, last, voxel, voxel // width, voxel % width,
        voxel < area,
    )  # fmt: skip


@triton.jit
def branch_row(tile, branch: tl.constexpr):
    """Of the (batch * 3 * channels) volumes that the branches write, as torch.cat has them."""
    return (tile.image * 3 + branch) * tile.channels + tile.channel


@triton.jit
def load_taps(weight, tile):
    """The 27 of the tile's channel, by depth, line and column, as a tuple of float32 numbers."""
    taps = ()
    for n in tl.static_range(27):
        taps += (tl.load(weight + tile.channel * 27 + n).to(tl.float32),)  # type: ignore[assignment]  # a tuple that grows
    return taps


@triton.jit
def load_shifted(x, plane, there, tile, down: tl.constexpr, right: tl.constexpr):
    """What lies so far from the tile in a plane, in float32; zero outside, and where the plane is not `there`."""
    line, column = tile.line + down, tile.column + right
    mask = there & (line >= 0) & (line < tile.height) & (column >= 0) & (column < tile.width)
    return load_float32(x, plane * tile.area + tile.voxel + (down * tile.width + right), mask)


@triton.jit
def plane_products(x, plane, tile, centre, taps, dilation: tl.constexpr, mirrored: tl.constexpr):
    """What a plane of x adds to the results `dilation` planes ahead, in the plane itself, and as many behind.

    `centre` is what lies at the tile. `mirrored` turns the taps around in all three directions, as gradients have them.
    """
    there = (plane >= 0) & (plane < tile.depth) & (plane >= tile.first - dilation) & (plane < tile.last + dilation)
    turn: tl.constexpr = 26 if mirrored else 0
    sign: tl.constexpr = -1 if mirrored else 1
    ahead = centre * taps[turn + sign * 4]
    here = centre * taps[turn + sign * 13]
    behind = centre * taps[turn + sign * 22]
    for n in tl.static_range(9):
        if n != 4:
            seen = load_shifted(x, plane, there, tile, (n // 3 - 1) * dilation, (n % 3 - 1) * dilation)
            ahead += seen * taps[turn + sign * n]
            here += seen * taps[turn + sign * (n + 9)]
            behind += seen * taps[turn + sign * (n + 18)]
    return ahead, here, behind
