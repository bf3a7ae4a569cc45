"""The norm and its gate in one pass, forward and backward: reads each tensor once, keeps only its inputs."""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.custom_operator import define_operator
from vigbench.ops.kernel_math import load_float32
from vigbench.ops.launch_plan import planned
from vigbench.ops.row_norm import (
    PROGRAMS,
    WARPS,
    blocks_of,
    cost_without_macs,
    load_channels,
    normal_gradient,
    normal_of,
)

SCHEMA = "Tensor o, Tensor gate, Tensor weight, float eps"


@triton.jit(do_not_specialize=["rows"])
def norm_swish_gate_forward(
    o, gate, weight, out, rows, eps, dim: tl.constexpr, dim_block: tl.constexpr, row_block: tl.constexpr
):
    """Grid: (blocks of rows); tensors are contiguous (rows, dim)."""
    row, channels = tl.program_id(0).to(tl.int64) * row_block + tl.arange(0, row_block), tl.arange(0, dim_block)
    at, is_channel = row[:, None] * dim + channels[None, :], channels < dim
    mask = (row < rows)[:, None] & is_channel[None, :]
    normal, _ = normal_of(load_float32(o, at, mask), is_channel, eps, dim, False)
    swish = load_float32(gate, at, mask)
    swish *= tl.sigmoid(swish)
    y = normal * load_channels(weight, channels, is_channel) * swish
    tl.store(out + at, y.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["rows"])
def norm_swish_gate_backward(
    grad, o, gate, weight, d_o, d_gate, d_weight, rows, eps, dim: tl.constexpr, dim_block: tl.constexpr,
    row_block: tl.constexpr,
):  # fmt: skip
    """Grid: (programs), each taking every so many blocks of rows; the weight's gradient is (programs, dim), float32."""
    channels = tl.arange(0, dim_block)
    is_channel = channels < dim
    w = load_channels(weight, channels, is_channel)
    sums = tl.zeros((dim_block,), dtype=tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(rows, row_block), tl.num_programs(0)):
        row = block * row_block + tl.arange(0, row_block).to(tl.int64)
        at = row[:, None] * dim + channels[None, :]
        mask = (row < rows)[:, None] & is_channel[None, :]
        normal, inverse = normal_of(load_float32(o, at, mask), is_channel, eps, dim, False)
        x, dy = load_float32(gate, at, mask), load_float32(grad, at, mask)
        on = tl.sigmoid(x)
        from_gate = dy * normal * w * on * (1.0 + x * (1.0 - on))
        tl.store(d_gate + at, from_gate.to(d_gate.dtype.element_ty), mask=mask)
        dy *= x * on
        sums += tl.sum(dy * normal, 0)
        from_o = normal_gradient(dy * w, normal, inverse, is_channel, dim, False)
        tl.store(d_o + at, from_o.to(d_o.dtype.element_ty), mask=mask)
    tl.store(d_weight + tl.program_id(0) * dim + channels, sums, mask=is_channel)


def _forward(o: Tensor, gate: Tensor, weight: Tensor, eps: float) -> Tensor:
    return _planned_forward(o.contiguous(), gate.contiguous(), weight, eps)


@planned
def _planned_forward(o: Tensor, gate: Tensor, weight: Tensor, eps: float) -> Tensor:
    out = torch.empty_like(o)
    if o.numel():
        rows, constants = blocks_of(o)
        args = (o, gate, weight, out, rows, eps)
        grid = (triton.cdiv(rows, constants["row_block"]), 1, 1)
        kernel_launch.launch_kernel(norm_swish_gate_forward, grid, o.device, args, constants, WARPS, 1)
    return out


def _backward(grad: Tensor, o: Tensor, gate: Tensor, weight: Tensor, eps: float) -> list[Tensor]:
    d_o, d_gate, sums = _planned_backward(grad.contiguous(), o.contiguous(), gate.contiguous(), weight, eps)
    return [d_o, d_gate, sums.sum(0).to(weight.dtype)]


@planned
def _planned_backward(grad: Tensor, o: Tensor, gate: Tensor, weight: Tensor, eps: float) -> list[Tensor]:
    """Gradients of o and gate, and parts of the weight's: (programs, dim) in float32."""
    grads = [torch.empty_like(x) for x in (o, gate)]
    rows, constants = blocks_of(o)
    programs = min(PROGRAMS, triton.cdiv(rows, constants["row_block"]))
    sums = torch.empty(programs, o.shape[-1], dtype=torch.float32, device=o.device)
    if o.numel():
        args = (grad, o, gate, weight, *grads, sums, rows, eps)
        kernel_launch.launch_kernel(norm_swish_gate_backward, (programs, 1, 1), o.device, args, constants, WARPS, 1)
    return [*grads, sums]


def _special(o: Any, *_: Any) -> int:
    """The gate's sigmoid."""
    return math.prod(o)


triton_fused = define_operator(
    "norm_swish_gate",
    _forward,
    _backward,
    cost_without_macs(_special),
    SCHEMA,
    result=lambda o, *_: o.new_empty(o.shape),
)
