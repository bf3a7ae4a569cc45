"""Norm, SwiGLU MLP and residual in Triton: forward in one kernel for narrow models, backward in slices of the tokens.

Only the inputs are kept for the backward, which computes the hidden layer again: 16 times as wide as a token in ViG-T.
"""

import math
from typing import Any

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.custom_operator import CostFormulas, define_operator
from vigbench.ops.launch_plan import planned
from vigbench.ops.norm_swiglu.kernels import (
    MlpVariant,
    mlp_hidden,
    mlp_whole,
    row_norm,
    row_norm_gradient,
    swiglu_gradient,
)
from vigbench.ops.norm_swiglu.settings import MlpSettings, settings_for
from vigbench.ops.product_tiles import PARTS
from vigbench.ops.row_norm import ELEMENTS, blocks_of

SCHEMA = (
    "Tensor x, Tensor norm_weight, Tensor? norm_bias, Tensor gate_weight, Tensor down_weight, float eps, bool residual"
)
SLICE_BYTES = 2**27  # of gate and up in the backward: more tokens at once are no faster, and would set the peak
PROGRAMS = 512  # at most, where each sums its own part of a gradient
WARPS = 4


def _forward(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor | None,
    gate_weight: Tensor,
    down_weight: Tensor,
    eps: float,
    residual: bool,
) -> Tensor:
    settings = settings_for(x.device, gate_weight.dtype)
    given = (x.contiguous(), norm_weight, norm_bias, gate_weight.contiguous(), down_weight.contiguous(), eps)
    if is_narrow(x.shape[-1], settings):
        return _whole(*given, residual, settings)
    out = _hidden(*given, settings) @ down_weight.mT
    return torch.add(x, out) if residual else out.to(x.dtype)


def is_narrow(dim: int, settings: MlpSettings) -> bool:
    """Whether one program has all channels of the stream, so that the hidden layer need not reach memory."""
    return settings.parts(dim) <= PARTS


@planned
def _whole(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor | None,
    gate_weight: Tensor,
    down_weight: Tensor,
    eps: float,
    residual: bool,
    settings: MlpSettings,
) -> Tensor:
    out = torch.empty_like(x)
    if rows := x.numel() // x.shape[-1]:
        variant = _variant(x, gate_weight, norm_bias, settings, residual)
        args = (x, norm_weight, _or(norm_bias, norm_weight), gate_weight, down_weight, out, rows, eps)
        grid = (triton.cdiv(rows, settings.row_block), 1, 1)
        constants = {"variant": variant}
        kernel_launch.launch_kernel(mlp_whole, grid, x.device, args, constants, settings.warps, settings.stages)
    return out


@planned
def _hidden(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor | None,
    gate_weight: Tensor,
    down_weight: Tensor,
    eps: float,
    settings: MlpSettings,
) -> Tensor:
    hidden = down_weight.shape[-1]
    out = torch.empty(*x.shape[:-1], hidden, dtype=gate_weight.dtype, device=x.device)
    if rows := x.numel() // x.shape[-1]:
        variant = _variant(x, gate_weight, norm_bias, settings, residual=False)
        args = (x, norm_weight, _or(norm_bias, norm_weight), gate_weight, out, rows, eps)
        grid = (triton.cdiv(hidden, variant.hidden_block), triton.cdiv(rows, settings.row_block), 1)
        constants = {"variant": variant}
        kernel_launch.launch_kernel(mlp_hidden, grid, x.device, args, constants, settings.warps, settings.stages)
    return out


def _backward(
    grad: Tensor,
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor | None,
    gate_weight: Tensor,
    down_weight: Tensor,
    eps: float,
    residual: bool,
) -> list[Tensor]:
    dim, hidden = x.shape[-1], down_weight.shape[-1]
    all_x, all_grad = x.reshape(-1, dim), grad.reshape(-1, dim).contiguous()
    at_once = max(1, SLICE_BYTES // (2 * hidden * gate_weight.element_size()))
    d_gate, d_down = (torch.zeros(w.shape, dtype=torch.float32, device=x.device) for w in (gate_weight, down_weight))
    d_norm = torch.zeros(2, dim, dtype=torch.float32, device=x.device)
    d_x = []
    for rows, dy in zip(all_x.split(at_once), all_grad.split(at_once), strict=True):
        normal = _normal(rows, norm_weight, norm_bias, gate_weight, eps)
        halves, narrow = normal @ gate_weight.mT, dy.to(gate_weight.dtype)
        active = _through_swiglu(halves, narrow @ down_weight)
        d_down += narrow.mT @ active
        d_gate += halves.mT @ normal
        parts, d_rows = _through_norm(halves @ gate_weight, dy, rows, norm_weight, norm_bias is not None, eps, residual)
        d_norm += parts.sum(1)
        d_x.append(d_rows)
    d_rows = d_x[0] if len(d_x) == 1 else torch.cat(d_x) if d_x else torch.empty_like(all_x)
    d_weights = [d_norm[0].to(norm_weight.dtype)]
    if norm_bias is not None:
        d_weights.append(d_norm[1].to(norm_bias.dtype))
    return [
        d_rows.view(x.shape),
        *(d.clone() for d in d_weights),
        d_gate.to(gate_weight.dtype),
        d_down.to(down_weight.dtype),
    ]


@planned
def _normal(x: Tensor, weight: Tensor, bias: Tensor | None, like: Tensor, eps: float) -> Tensor:
    """The normalised stream in the dtype of the products."""
    out = torch.empty(x.shape, dtype=like.dtype, device=x.device)
    rows, constants = blocks_of(x, centred=bias is not None)
    args = (x, weight, _or(bias, weight), out, rows, eps)
    grid = (triton.cdiv(rows, constants["row_block"]), 1, 1)
    kernel_launch.launch_kernel(row_norm, grid, x.device, args, constants, WARPS, 1)
    return out


@planned
def _through_swiglu(halves: Tensor, grad: Tensor) -> Tensor:
    """The hidden layer; `halves`, gate and up, become their gradients."""
    active = torch.empty_like(grad)
    constants = {"hidden": grad.shape[-1], "block": ELEMENTS // 2}
    args = (halves, grad, active, grad.numel())
    grid = (triton.cdiv(grad.numel(), ELEMENTS // 2), 1, 1)
    kernel_launch.launch_kernel(swiglu_gradient, grid, grad.device, args, constants, WARPS, 1)
    return active


@planned
def _through_norm(
    grad: Tensor, beside: Tensor, x: Tensor, weight: Tensor, centred: bool, eps: float, residual: bool
) -> list[Tensor]:
    """Parts of the gradients of the norm's weight and bias, (2, parts, dim) in float32, and that of the stream."""
    rows, constants = blocks_of(x, centred=centred, residual=residual)
    programs = min(PROGRAMS, triton.cdiv(rows, constants["row_block"]))
    sums = torch.empty(2, programs, x.shape[1], dtype=torch.float32, device=x.device)
    d_x = torch.empty_like(x)
    args = (grad, beside, x, weight, d_x, sums[0], sums[1], rows, eps)
    kernel_launch.launch_kernel(row_norm_gradient, (programs, 1, 1), x.device, args, constants, WARPS, 1)
    return [sums, d_x]


def _variant(
    x: Tensor, gate_weight: Tensor, norm_bias: Tensor | None, settings: MlpSettings, residual: bool
) -> MlpVariant:
    dim, hidden = x.shape[-1], gate_weight.shape[0] // 2
    return MlpVariant(
        dim=dim,
        hidden=hidden,
        part=settings.part(dim),
        parts=settings.parts(dim),
        row_block=settings.row_block,
        hidden_block=settings.hidden_block,
        even=dim % settings.part(dim) == 0 and hidden % settings.hidden_block == 0,
        centred=norm_bias is not None,
        residual=residual,
    )


def _or(x: Tensor | None, other: Tensor) -> Tensor:
    """A kernel takes some tensor for one that it does not read."""
    return other if x is None else x


def _macs(x: Any, _: Any, __: Any, gate_weight: Any, down_weight: Any, *___: Any, **____: Any) -> int:
    return int(math.prod(x[:-1]) * (gate_weight[0] * gate_weight[1] + down_weight[0] * down_weight[1]))


def _macs_backward(grad: Any, *shapes: Any, **more: Any) -> int:  # noqa: ARG001
    return 2 * _macs(*shapes, **more)


def _executed_backward(grad: Any, x: Any, norm: Any, bias: Any, gate_weight: Any, *shapes: Any, **more: Any) -> int:
    """Gate and up are computed once more."""
    again = _macs(x, norm, bias, gate_weight, (0, 0))
    return _macs_backward(grad, x, norm, bias, gate_weight, *shapes, **more) + again


def _special(x: Any, _: Any, __: Any, ___: Any, down_weight: Any, *____: Any) -> int:
    """SiLU's of the hidden layer."""
    return int(math.prod(x[:-1]) * down_weight[1])


triton_fused = define_operator(
    "norm_swiglu",
    _forward,
    _backward,
    CostFormulas(_macs, _macs, _macs_backward, _executed_backward, _special),
    SCHEMA,
    lambda *inputs: inputs[0].new_empty(inputs[0].shape),
)
