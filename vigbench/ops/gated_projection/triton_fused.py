"""Gated norm, output projection and residual in one pass, forward; the backward from the gated norm's kernels.

Only inputs are kept for the backward: what the projection reads is computed again.
"""

import math
from typing import Any

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.custom_operator import CostFormulas, define_operator
from vigbench.ops.gated_norm import triton_fused as gated_norm
from vigbench.ops.gated_projection.kernels import ProjectionVariant, gated_projection_forward
from vigbench.ops.launch_plan import planned
from vigbench.ops.product_tiles import PARTS, SMALLEST_BLOCK

SCHEMA = (
    "Tensor o, Tensor local, Tensor gate, Tensor gate_bias, Tensor o_weight, Tensor local_weight, Tensor weight, "
    "Tensor? residual, float eps, bool act"
)
WARPS, STAGES = 4, 2
ROWS = 32  # at once: bytes bind, not products, so that single warps may multiply (docs/kernels-block.md)


def _variant(o: Tensor, weight: Tensor, residual: Tensor | None, act: bool) -> ProjectionVariant:
    dim, (heads, head) = weight.shape[0], o.shape[-2:]
    head_block, part = (max(SMALLEST_BLOCK, 1 << (size - 1).bit_length()) for size in (head, min(dim, 64)))
    return ProjectionVariant(
        dim=dim,
        heads=heads,
        head=head,
        head_block=head_block,
        part=part,
        parts=-(-dim // part),
        row_block=SMALLEST_BLOCK if o.dtype == torch.float32 else ROWS,
        even=dim % part == 0 and head == head_block,
        act=act,
        residual=residual is not None,
    )


def _forward(
    o: Tensor,
    local: Tensor,
    gate: Tensor,
    gate_bias: Tensor,
    o_weight: Tensor,
    local_weight: Tensor,
    weight: Tensor,
    residual: Tensor | None,
    eps: float,
    act: bool,
) -> Tensor:
    variant = _variant(o, weight, residual, act)
    if variant.parts > PARTS:
        biased = gate + gate_bias.view(gate.shape[-2:])
        mixed = gated_norm._forward(o, local, biased, o_weight, local_weight, eps, act)
        out = mixed.flatten(-2) @ weight.mT
        return out if residual is None else residual + out
    return _planned_forward(
        o.contiguous(),
        local.contiguous(),
        gate.flatten(-2).flatten(0, -2),  # a slice of a projection stays where it is
        gate_bias,
        o_weight,
        local_weight,
        weight.contiguous(),
        None if residual is None else residual.contiguous(),
        eps,
        variant,
    )


@planned
def _planned_forward(
    o: Tensor,
    local: Tensor,
    gate: Tensor,
    gate_bias: Tensor,
    o_weight: Tensor,
    local_weight: Tensor,
    weight: Tensor,
    residual: Tensor | None,
    eps: float,
    variant: ProjectionVariant,
) -> Tensor:
    dtype = o.dtype if residual is None else residual.dtype
    out = torch.empty(*o.shape[:-2], variant.dim, dtype=dtype, device=o.device)
    if rows := gate.shape[0]:
        beside = o if residual is None else residual
        args = (o, local, gate, gate.stride(0), gate_bias, o_weight, local_weight, weight, beside, out, rows, eps)
        grid = (triton.cdiv(rows, variant.row_block), 1, 1)
        constants = {"variant": variant}
        kernel_launch.launch_kernel(gated_projection_forward, grid, o.device, args, constants, WARPS, STAGES)
    return out


def _backward(
    grad: Tensor,
    o: Tensor,
    local: Tensor,
    gate: Tensor,
    gate_bias: Tensor,
    o_weight: Tensor,
    local_weight: Tensor,
    weight: Tensor,
    eps: float,
    act: bool,
) -> list[Tensor]:
    biased = gate + gate_bias.view(gate.shape[-2:])
    norm = (o, local, biased, o_weight, local_weight)
    rows = grad.to(o.dtype).flatten(0, -2)
    mixed = gated_norm._forward(*norm, eps, act).flatten(-2).flatten(0, -2)
    d_weight = rows.mT @ mixed
    del mixed  # its memory is that of its gradient
    d_o, d_local, d_gate, *d_norms = gated_norm._backward((rows @ weight).view(o.shape), *norm, eps, act)
    d_bias = d_gate.flatten(-2).flatten(0, -2).sum(0, dtype=torch.float32).to(gate_bias.dtype)
    return [d_o, d_local, d_gate, d_bias, *d_norms, d_weight]


def _empty(o: Tensor, *rest: Any) -> Tensor:
    weight, residual = rest[5], rest[6]
    like = o if residual is None else residual
    return like.new_empty(*o.shape[:-2], weight.shape[0])


def _macs(o: Any, local: Any, gate: Any, bias: Any, o_w: Any, local_w: Any, weight: Any, *_: Any, **__: Any) -> int:  # noqa: ARG001
    return int(math.prod(o[:-2]) * weight[0] * weight[1])


def _macs_backward(grad: Any, *shapes: Any, **more: Any) -> int:  # noqa: ARG001
    return 2 * _macs(*shapes, **more)


def _special(o: Any, *rest: Any) -> int:
    """The gate's sigmoid, and SiLU's."""
    return int((2 if rest[-1] else 1) * math.prod(o))


triton_fused = define_operator(
    "gated_projection",
    _forward,
    _backward,
    CostFormulas(_macs, _macs, _macs_backward, _macs_backward, _special),
    SCHEMA,
    _empty,
    added=True,
)
