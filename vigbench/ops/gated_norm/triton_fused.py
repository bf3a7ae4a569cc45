"""The gated norm in one pass, forward and backward: reads each tensor once, keeps only its inputs for the backward."""

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

SCHEMA = "Tensor o, Tensor local, Tensor gate, Tensor o_weight, Tensor local_weight, float eps, bool act"


@triton.jit(do_not_specialize=["rows"])
def gated_norm_forward(
    o, local, gate, o_weight, local_weight, out, rows, eps, dim: tl.constexpr, dim_block: tl.constexpr,
    row_block: tl.constexpr, act: tl.constexpr,
):  # fmt: skip
    """Grid: (blocks of rows); tensors are contiguous (rows, dim)."""
    row, channels = tl.program_id(0).to(tl.int64) * row_block + tl.arange(0, row_block), tl.arange(0, dim_block)
    at, is_channel = row[:, None] * dim + channels[None, :], channels < dim
    mask = (row < rows)[:, None] & is_channel[None, :]
    o_normal, _ = normal_of(load_float32(o, at, mask), is_channel, eps, dim, False)
    l_normal, _ = normal_of(load_float32(local, at, mask), is_channel, eps, dim, False)
    first = l_normal * load_channels(local_weight, channels, is_channel)
    second = o_normal * load_channels(o_weight, channels, is_channel)
    mixed = first + tl.sigmoid(load_float32(gate, at, mask)) * (second - first)
    if act:
        mixed = mixed * tl.sigmoid(mixed)
    tl.store(out + at, mixed.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["rows"])
def gated_norm_backward(
    grad, o, local, gate, o_weight, local_weight, d_o, d_local, d_gate, d_o_weight, d_local_weight, rows, eps,
    dim: tl.constexpr, dim_block: tl.constexpr, row_block: tl.constexpr, act: tl.constexpr,
):  # fmt: skip
    """Grid: (programs), each taking every so many blocks of rows; gradients of weights are (programs, dim), float32."""
    channels = tl.arange(0, dim_block)
    is_channel = channels < dim
    w_o = load_channels(o_weight, channels, is_channel)
    w_local = load_channels(local_weight, channels, is_channel)
    sum_o = tl.zeros((dim_block,), dtype=tl.float32)
    sum_local = sum_o
    for block in range(tl.program_id(0), tl.cdiv(rows, row_block), tl.num_programs(0)):
        row = block * row_block + tl.arange(0, row_block).to(tl.int64)
        at = row[:, None] * dim + channels[None, :]
        mask = (row < rows)[:, None] & is_channel[None, :]
        o_normal, o_inverse = normal_of(load_float32(o, at, mask), is_channel, eps, dim, False)
        l_normal, l_inverse = normal_of(load_float32(local, at, mask), is_channel, eps, dim, False)
        share, dy = tl.sigmoid(load_float32(gate, at, mask)), load_float32(grad, at, mask)
        difference = o_normal * w_o - l_normal * w_local
        if act:
            mixed = l_normal * w_local + share * difference
            on = tl.sigmoid(mixed)
            dy *= on * (1.0 + mixed * (1.0 - on))
        tl.store(d_gate + at, (dy * difference * share * (1.0 - share)).to(d_gate.dtype.element_ty), mask=mask)
        to_o, to_local = dy * share, dy * (1.0 - share)
        sum_o += tl.sum(to_o * o_normal, 0)
        sum_local += tl.sum(to_local * l_normal, 0)
        from_o = normal_gradient(to_o * w_o, o_normal, o_inverse, is_channel, dim, False)
        tl.store(d_o + at, from_o.to(d_o.dtype.element_ty), mask=mask)
        from_local = normal_gradient(to_local * w_local, l_normal, l_inverse, is_channel, dim, False)
        tl.store(d_local + at, from_local.to(d_local.dtype.element_ty), mask=mask)
    tl.store(d_o_weight + tl.program_id(0) * dim + channels, sum_o, mask=is_channel)
    tl.store(d_local_weight + tl.program_id(0) * dim + channels, sum_local, mask=is_channel)


def _forward(
    o: Tensor, local: Tensor, gate: Tensor, o_weight: Tensor, local_weight: Tensor, eps: float, act: bool
) -> Tensor:
    return _planned_forward(o.contiguous(), local.contiguous(), gate.contiguous(), o_weight, local_weight, eps, act)


@planned
def _planned_forward(
    o: Tensor, local: Tensor, gate: Tensor, o_weight: Tensor, local_weight: Tensor, eps: float, act: bool
) -> Tensor:
    out = torch.empty_like(o)
    if o.numel():
        rows, constants = blocks_of(o, act=act)
        args = (o, local, gate, o_weight, local_weight, out, rows, eps)
        grid = (triton.cdiv(rows, constants["row_block"]), 1, 1)
        kernel_launch.launch_kernel(gated_norm_forward, grid, o.device, args, constants, WARPS, 1)
    return out


def _backward(
    grad: Tensor, o: Tensor, local: Tensor, gate: Tensor, o_weight: Tensor, local_weight: Tensor, eps: float, act: bool
) -> list[Tensor]:
    contiguous = (x.contiguous() for x in (grad, o, local, gate))
    d_o, d_local, d_gate, sums = _planned_backward(*contiguous, o_weight, local_weight, eps, act)
    d_o_weight, d_local_weight = sums.sum(1).to(o_weight.dtype).unbind(0)
    return [d_o, d_local, d_gate, d_o_weight.clone(), d_local_weight.clone()]


@planned
def _planned_backward(
    grad: Tensor, o: Tensor, local: Tensor, gate: Tensor, o_weight: Tensor, local_weight: Tensor, eps: float, act: bool
) -> list[Tensor]:
    """Gradients of o, local and gate, and parts of the weights': (2, programs, dim) in float32."""
    grads = [torch.empty_like(x) for x in (o, local, gate)]
    rows, constants = blocks_of(o, act=act)
    programs = min(PROGRAMS, triton.cdiv(rows, constants["row_block"]))
    sums = torch.empty(2, programs, o.shape[-1], dtype=torch.float32, device=o.device)
    if o.numel():
        args = (grad, o, local, gate, o_weight, local_weight, *grads, sums[0], sums[1], rows, eps)
        kernel_launch.launch_kernel(gated_norm_backward, (programs, 1, 1), o.device, args, constants, WARPS, 1)
    return [*grads, sums]


def _special(o: Any, *rest: Any) -> int:
    """The gate's sigmoid, and SiLU's."""
    return int((2 if rest[-1] else 1) * math.prod(o))


triton_fused = define_operator("gated_norm", _forward, _backward, cost_without_macs(_special), SCHEMA)
