"""The branches in Triton: x is read once for three convolutions; one gradient of x from all three; no atomics.

Forward: convolutions with parts of their statistics, the statistics, norms and PReLUs (in training apart from the
convolutions' outputs, which the backward needs). Backward: sums over each volume, the gradients of the convolutions'
outputs, that of x, and parts of those of the taps.
"""

import math
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.dilated_convs.kernels.forward import dilated_convs_forward, dilated_convs_statistics
from vigbench.ops.dilated_convs.kernels.gradients import dilated_convs_input_gradient, dilated_convs_weight_gradient
from vigbench.ops.dilated_convs.kernels.norms import (
    dilated_convs_activate,
    dilated_convs_norm_gradient,
    dilated_convs_norm_sums,
)
from vigbench.ops.dilated_convs.operator import TAPS, define_dilated_convs, empty_result, empty_statistics
from vigbench.ops.launch_plan import planned
from vigbench.ops.precision import refuse_float64

LANE_VOXELS, TILE = 2, (64, 256)  # voxels of a lane; the smallest and the largest tile
SEGMENTS = (32, 16, 8, 4)  # planes that a program walks through, and six more that it reads: the first with
ENOUGH = 1056  # warps: eight for each multiprocessor of an H200; else the last
NORM_BLOCK = 2048  # voxels at once where nothing but norms is computed
PARTS = 64  # at most, of the sums over a volume in the backward
STATISTICS_BLOCK = 256
WARPS = 4
LARGEST = 2**31 - 2**16  # voxels of a volume, whose places are numbers of 32 bits


class Walk(NamedTuple):
    """How x is walked through: voxels of a plane at once, planes of a program, and parts of a volume that makes."""

    tile: int
    segment: int
    parts: int


def walk_of(batch: int, channels: int, depth: int, height: int, width: int) -> Walk:
    """Long walks, unless there were too few."""
    tile = min(max(int(triton.next_power_of_2(height * width)), TILE[0]), TILE[1])
    walks = triton.cdiv(height * width, tile) * batch * channels * _warps(tile)
    segment = next((n for n in SEGMENTS if walks * triton.cdiv(depth, n) >= ENOUGH), SEGMENTS[-1])
    return Walk(tile, segment, triton.cdiv(height * width, tile) * triton.cdiv(depth, segment))


def _warps(tile: int) -> int:
    return tile // (32 * LANE_VOXELS)


def _forward(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    refuse_float64(x, "use reference")
    *parameters, eps, training = rest
    if math.prod(x.shape[2:]) > LARGEST:
        raise ValueError(f"x is {tuple(x.shape)}: a volume may have {LARGEST:,} voxels; use reference")
    given = (x.contiguous(), *(each.contiguous() for each in parameters))
    if training:
        out, y, statistics = _planned_forward(*given, eps, True)
        return out, y, statistics
    return _planned_forward(*given, eps, False)[0], x.new_empty(0), x.new_empty(0)


@planned
def _planned_forward(x: Tensor, *rest: Any) -> list[Tensor]:
    """The result; in training also what the convolutions give, and their statistics."""
    *parameters, eps, training = rest
    weights, biases, norm_weights, norm_biases, slopes = (tuple(parameters[n : n + 3]) for n in range(0, 15, 3))
    y, statistics = empty_result(x), empty_statistics(x)
    out = torch.empty_like(y) if training else y
    if x.numel():
        rows = statistics.shape[0]
        walk = walk_of(*x.shape)
        parts = torch.empty(rows, walk.parts, 3, dtype=torch.float32, device=x.device)
        _walk(dilated_convs_forward, x, x, weights, biases, y, parts)
        args: tuple[Any, ...] = (parts, statistics, walk.parts, eps)
        _start(dilated_convs_statistics, (rows, 1, 1), args, STATISTICS_BLOCK, 1)
        volume, block, blocks = _blocks(x)
        args = (y, statistics, norm_weights, norm_biases, slopes, out, x.shape[1], volume, blocks)
        _start(dilated_convs_activate, (rows * blocks, 1, 1), args, block)
    return [out, y, statistics] if training else [out]


def _backward(grad: Tensor, y: Tensor, statistics: Tensor, x: Tensor, *parameters: Tensor) -> list[Tensor]:
    d_x, taps, sums = _planned_backward(
        grad.contiguous(), y, statistics, x.contiguous(), *(each.contiguous() for each in parameters)
    )
    weights, norm_weights, norm_biases, slopes = (parameters[n : n + 3] for n in range(0, 12, 3))
    sums = sums.unflatten(1, (x.shape[0], 3, x.shape[1])).sum(
        (1, 4)
    )  # of images and parts: (3 kinds, branches, channels)
    return [
        d_x,
        *(taps[n].sum(0).view(one.shape).to(one.dtype) for n, one in enumerate(weights)),
        *(sums[1, n].to(one.dtype, copy=True) for n, one in enumerate(norm_weights)),
        *(sums[0, n].to(one.dtype, copy=True) for n, one in enumerate(norm_biases)),
        *(sums[2, n].sum(0, keepdim=True).to(one.dtype) for n, one in enumerate(slopes)),
    ]


@planned
def _planned_backward(grad: Tensor, y: Tensor, statistics: Tensor, x: Tensor, *parameters: Tensor) -> list[Tensor]:
    """The gradient of x, and parts of those of the taps, (3, parts, channels, 27), and of the norms' and the slopes'.

    The latter are (3, batch * 3 * channels, parts), for biases, weights and slopes.
    """
    batch, channels, *_ = x.shape
    weights, norm_weights, norm_biases, slopes = (tuple(parameters[n : n + 3]) for n in range(0, 12, 3))
    rows, (volume, block, blocks) = statistics.shape[0], _blocks(x)
    share = triton.cdiv(blocks, PARTS) * block
    count = triton.cdiv(volume, share)
    sums = torch.empty(3, rows, count, dtype=torch.float32, device=x.device)
    taps = torch.empty(3, batch * walk_of(*x.shape).parts, channels, 27, dtype=torch.float32, device=x.device)
    d_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if x.numel():
        d_y = torch.empty(y.shape, dtype=y.dtype, device=x.device)
        known = (grad, y, statistics, norm_weights, norm_biases, slopes, sums)
        _start(dilated_convs_norm_sums, (rows, count, 1), (*known, channels, volume, share), block)
        args = (*known, d_y, channels, volume, count, blocks)
        _start(dilated_convs_norm_gradient, (rows * blocks, 1, 1), args, block, part_block=PARTS)
        _walk(dilated_convs_input_gradient, x, d_y, weights, d_x)
        _walk(dilated_convs_weight_gradient, x, x, d_y, taps, branches=3)
    return [d_x, taps, sums]


def _walk(kernel: Any, x: Tensor, *args: Any, branches: int = 1) -> None:
    """Launch what walks through a volume like x's."""
    walk = walk_of(*x.shape)
    grid = (x.shape[0] * x.shape[1] * walk.parts, branches, 1)
    _start(kernel, grid, (*args, *x.shape[1:], walk.segment), walk.tile, _warps(walk.tile))


def _blocks(x: Tensor) -> tuple[int, int, int]:
    """Voxels of a volume, voxels at once, and how often that is."""
    volume = math.prod(x.shape[2:])
    block = min(NORM_BLOCK, max(128, int(triton.next_power_of_2(volume))))
    return volume, block, triton.cdiv(volume, block)


def _start(
    kernel: Any, grid: tuple[int, int, int], args: tuple[Any, ...], block: int, warps: int = WARPS, **constants: int
) -> None:
    kernel_launch.launch_kernel(kernel, grid, args[0].device, args, {"block": block, **constants}, warps, 1)


def _executed(x: Any, *_: Any, **__: Any) -> int:
    """Walks multiply the planes on either side of a segment, too."""
    segments = triton.cdiv(x[2], walk_of(*x).segment)
    return int(TAPS * math.prod((*x[:2], x[2] + 6 * segments, *x[3:])))


def _executed_backward(grad: Any, y: Any, statistics: Any, x: Any, *_: Any, **__: Any) -> int:  # noqa: ARG001
    """A walk for the gradient of x, and each product once for those of the taps."""
    return _executed(x) + int(TAPS * math.prod(x))


triton_fused = define_dilated_convs("triton_fused", _forward, _backward, _executed, _executed_backward)
