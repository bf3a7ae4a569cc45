"""Convolution, LayerNorm and SiLU of the image in one pass, forward; the backward in PyTorch's own operators."""

import math
from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.conv_norm.interface import step_by_step
from vigbench.ops.conv_norm.kernels import StemVariant, conv_norm_forward
from vigbench.ops.custom_operator import CostFormulas, define_operator
from vigbench.ops.launch_plan import planned
from vigbench.ops.product_tiles import PARTS, SMALLEST_BLOCK

SCHEMA = (
    "Tensor images, Tensor weight, Tensor bias, Tensor norm_weight, Tensor norm_bias, int stride, int padding, "
    "float eps, bool grad_images"
)
ROWS, INNER = 32, 32  # positions and numbers of a window at once
PART = 64  # channels multiplied at once
WARPS, STAGES = 4, 2


def _forward(images: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    if _part(weight.shape[0]) * PARTS < weight.shape[0]:  # of wide models the library's convolution
        return step_by_step(images, weight, *rest).contiguous()
    return _planned_forward(images, weight.contiguous(), *rest)


@planned
def _planned_forward(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    stride: int,
    padding: int,
    eps: float,
    grad_images: bool,
) -> Tensor:
    out = _empty(images, weight, bias, norm_weight, norm_bias, stride, padding, eps, grad_images)
    if out.numel():
        dim, inner, size, _ = weight.shape
        part = _part(dim)
        row_block = SMALLEST_BLOCK if images.dtype == torch.float32 else ROWS
        variant = StemVariant(inner, size, stride, padding, dim, part, -(-dim // part), row_block, INNER)
        batch, rows, columns, _ = out.shape
        positions = batch * rows * columns
        args = (
            images, tuple(images.stride()), weight, bias, norm_weight, norm_bias, out, *images.shape[2:], rows,
            columns, positions, eps,
        )  # fmt: skip
        grid = (triton.cdiv(positions, row_block), 1, 1)
        constants = {"variant": variant}
        kernel_launch.launch_kernel(conv_norm_forward, grid, images.device, args, constants, WARPS, STAGES)
    return out


def _part(dim: int) -> int:
    """The largest power of two that divides `dim`, where that is neither small nor large."""
    return min(PART, max(SMALLEST_BLOCK, dim & -dim))


def _backward(
    grad: Tensor,
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    stride: int,
    padding: int,
    eps: float,
    grad_images: bool,
) -> list[Tensor]:
    shape = list(norm_weight.shape)
    y = F.conv2d(images, weight, bias, stride, padding).permute(0, 2, 3, 1).contiguous()
    normal, mean, inverse = torch.native_layer_norm(y, shape, norm_weight, norm_bias, eps)
    d_normal = torch.ops.aten.silu_backward(grad, normal)
    layer_norm_backward = torch.ops.aten.native_layer_norm_backward
    d_y, d_norm_weight, d_norm_bias = layer_norm_backward(
        d_normal, y, shape, mean, inverse, norm_weight, norm_bias, [True, True, True]
    )
    d_images, d_weight, d_bias = torch.ops.aten.convolution_backward(
        d_y.permute(0, 3, 1, 2), images, weight, shape, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1,
        [grad_images, True, True],
    )  # fmt: skip
    d_images = d_images if grad_images else images.new_empty(images.shape)  # which nobody reads
    return [x.contiguous() for x in (d_images, d_weight, d_bias, d_norm_weight, d_norm_bias)]


def _empty(images: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    stride, padding = rest[3], rest[4]
    batch, _, *sides = images.shape
    rows, columns = ((side + 2 * padding - weight.shape[-1]) // stride + 1 for side in sides)
    return torch.empty(batch, rows, columns, weight.shape[0], dtype=images.dtype, device=images.device)


def _macs(images: Any, weight: Any, *_: Any, out_shape: Any, **__: Any) -> int:  # noqa: ARG001
    return int(math.prod(out_shape) * math.prod(weight[1:]))


def _macs_backward(grad: Any, images: Any, weight: Any, *rest: Any, **_: Any) -> int:  # noqa: ARG001
    return int((2 if rest[-1] else 1) * math.prod(grad) * math.prod(weight[1:]))


def _executed_backward(grad: Any, images: Any, weight: Any, *rest: Any, **_: Any) -> int:
    """The convolution is computed once more."""
    again = int(math.prod(grad) * math.prod(weight[1:]))
    return _macs_backward(grad, images, weight, *rest) + again


def _special(images: Any, weight: Any, *rest: Any) -> int:
    """SiLU's."""
    stride, padding = rest[3], rest[4]
    sides = ((side + 2 * padding - weight[-1]) // stride + 1 for side in images[2:])
    return int(images[0] * weight[0] * math.prod(sides))


triton_fused = define_operator(
    "conv_norm",
    _forward,
    _backward,
    CostFormulas(_macs, _macs, _macs_backward, _executed_backward, _special),
    SCHEMA,
    _empty,
)
