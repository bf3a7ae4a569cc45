"""Norm, depthwise convolution and SiLU in one pass, forward and backward; only the inputs are kept for the backward."""

import math
from typing import Any

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.custom_operator import CostFormulas, define_operator
from vigbench.ops.launch_plan import planned
from vigbench.ops.norm_conv.kernels import (
    ConvVariant,
    norm_conv_input_gradient,
    norm_conv_walk,
    norm_conv_weight_gradient,
)
from vigbench.ops.precision import refuse_float64

SCHEMA = "Tensor x, Tensor norm_weight, Tensor? norm_bias, Tensor weight, float eps, bool act"
ELEMENTS = 1024  # of a tensor in a program at once
SEGMENTS = (16, 8, 4, 2)  # rows that a program walks down, and two more that it only reads: the first with
ENOUGH = 264  # programs: two for each multiprocessor of an H200; else one row
PROGRAMS = 512  # at most, where each sums its own part of a gradient
WARPS = 4


def _forward(x: Tensor, norm_weight: Tensor, norm_bias: Tensor | None, weight: Tensor, eps: float, act: bool) -> Tensor:
    refuse_float64(x, "use plain PyTorch")
    return _walk(x.contiguous(), norm_weight, norm_bias, weight.contiguous(), None, eps, act)


@planned
def _walk(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor | None,
    weight: Tensor,
    grad: Tensor | None,
    eps: float,
    act: bool,
) -> Tensor:
    """The result, or with its gradient the one before SiLU, in the dtype of the weight."""
    batch, height, width, _ = x.shape
    out = torch.empty(x.shape, dtype=weight.dtype, device=x.device)
    if x.numel():
        variant = _variant(x, norm_bias, act)
        bias, incoming = (norm_weight if y is None else y for y in (norm_bias, grad))
        strips = triton.cdiv(width, variant.column_block)
        segment = next((n for n in SEGMENTS if strips * triton.cdiv(height, n) * batch >= ENOUGH), 1)
        args = (x, norm_weight, bias, weight, incoming, out, height, width, segment, eps)
        grid = (strips, triton.cdiv(height, segment), batch)
        constants = {"variant": variant, "gradient": grad is not None}
        kernel_launch.launch_kernel(norm_conv_walk, grid, x.device, args, constants, WARPS, 1)
    return out


def _backward(
    grad: Tensor, x: Tensor, norm_weight: Tensor, norm_bias: Tensor | None, weight: Tensor, eps: float, act: bool
) -> list[Tensor]:
    x, grad, weight = x.contiguous(), grad.contiguous(), weight.contiguous()
    if act:
        grad = _walk(x, norm_weight, norm_bias, weight, grad, eps, act)
    d_x, taps, norms = _gradients(grad, x, norm_weight, norm_bias, weight, eps, act)
    d_norm_weight, d_norm_bias = norms.sum(1).to(norm_weight.dtype).unbind(0)
    d_norms = [d_norm_weight.clone()] + ([] if norm_bias is None else [d_norm_bias.clone()])
    d_weight = taps.sum(0).permute(2, 0, 1).to(weight.dtype).reshape(weight.shape)
    return [d_x, *d_norms, d_weight.clone()]


@planned
def _gradients(
    grad: Tensor,
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor | None,
    weight: Tensor,
    eps: float,
    act: bool,
) -> list[Tensor]:
    """That of x, and parts of those of the weights: (parts, 3, 3, dim), and (2, parts, dim) of the norm's."""
    batch, height, width, dim = x.shape
    d_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    variant = _variant(x, norm_bias, act)
    blocks = batch * height * triton.cdiv(width, variant.column_block)
    programs = min(PROGRAMS, blocks)
    taps = torch.empty(programs, 3, 3, dim, dtype=torch.float32, device=x.device)
    norms = torch.empty(2, programs, dim, dtype=torch.float32, device=x.device)
    if x.numel():
        bias = norm_weight if norm_bias is None else norm_bias
        sizes, constants = (height, width, blocks, eps), {"variant": variant}
        given: tuple[Any, ...] = (x, norm_weight, bias, grad, taps, *sizes)
        kernel_launch.launch_kernel(norm_conv_weight_gradient, (programs, 3, 1), x.device, given, constants, WARPS, 1)
        given = (x, norm_weight, weight, grad, d_x, norms[0], norms[1], *sizes)
        kernel_launch.launch_kernel(norm_conv_input_gradient, (programs, 1, 1), x.device, given, constants, WARPS, 1)
    return [d_x, taps, norms]


def _variant(x: Tensor, norm_bias: Tensor | None, act: bool) -> ConvVariant:
    dim = x.shape[-1]
    dim_block = int(triton.next_power_of_2(dim))
    return ConvVariant(dim, dim_block, max(1, ELEMENTS // dim_block), norm_bias is not None, act)


def _macs(x: Any, norm_weight: Any, norm_bias: Any, weight: Any, *_: Any, **__: Any) -> int:  # noqa: ARG001
    return int(math.prod(x) * weight[-1] * weight[-2])


def _macs_backward(grad: Any, *shapes: Any, **more: Any) -> int:  # noqa: ARG001
    return 2 * _macs(*shapes, **more)


def _executed_backward(grad: Any, *shapes: Any, **more: Any) -> int:  # noqa: ARG001
    """Under SiLU the convolution is computed once more."""
    return (3 if shapes[-1] else 2) * _macs(*shapes, **more)


def _special(x: Any, *rest: Any) -> int:
    """SiLU's."""
    return int(math.prod(x)) if rest[-1] else 0


triton_fused = define_operator(
    "norm_conv",
    _forward,
    _backward,
    CostFormulas(_macs, _macs, _macs_backward, _executed_backward, _special),
    SCHEMA,
    lambda *inputs: inputs[0].new_empty(inputs[0].shape, dtype=inputs[3].dtype),
)
