"""The convolution in Triton: both directions and SiLU from one reading of x, whatever the strides; no atomics.

The weights' gradients are sums over all tokens: programs write their own parts, which are summed in a fixed order.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.causal_conv.operator import define_causal_conv, empty_result
from vigbench.ops.launch_plan import planned
from vigbench.ops.precision import refuse_float64

TOKENS, CHANNELS = 32, 64  # of a program at once
WARPS = 4


@triton.jit
def _load(data, batch_stride, token_stride, channel_stride, batch, tokens, channels, length, dim: tl.constexpr):
    """(tokens, channels) in float32, zero outside the sequence."""
    at = batch.to(tl.int64) * batch_stride + tokens.to(tl.int64)[:, None] * token_stride
    mask = ((tokens >= 0) & (tokens < length))[:, None] & (channels < dim)[None, :]
    return tl.load(data + at + channels[None, :] * channel_stride, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _store(
    data, batch_stride, token_stride, channel_stride, batch, tokens, channels, length, dim: tl.constexpr, values
):  # fmt: skip
    """Write `values` where `_load` would read."""
    at = batch.to(tl.int64) * batch_stride + tokens.to(tl.int64)[:, None] * token_stride
    mask = (tokens < length)[:, None] & (channels < dim)[None, :]
    tl.store(data + at + channels[None, :] * channel_stride, values.to(data.dtype.element_ty), mask=mask)


@triton.jit
def _weight(weight, direction: tl.constexpr, tap: tl.constexpr, channels, dim: tl.constexpr, taps: tl.constexpr):
    """(channels) of one tap."""
    at = weight + (direction * dim + channels) * taps + tap
    return tl.load(at, mask=channels < dim, other=0.0).to(tl.float32)


@triton.jit
def _convolved(
    x, x_batch, x_token, x_channel, weight, bias, batch, tokens, channels, length, direction: tl.constexpr,
    dim: tl.constexpr, taps: tl.constexpr,
):  # fmt: skip
    """Before SiLU, (tokens, channels)."""
    total = tl.load(bias + direction * dim + channels, mask=channels < dim, other=0.0).to(tl.float32)[None, :]
    for tap in tl.static_range(taps):
        seen = tokens + (taps - 1 - tap) * (2 * direction - 1)
        values = _load(x, x_batch, x_token, x_channel, batch, seen, channels, length, dim)
        total += _weight(weight, direction, tap, channels, dim, taps)[None, :] * values
    return total


@triton.jit(do_not_specialize=["length"])
def causal_conv_forward(
    x, x_batch, x_token, x_channel, weight, bias, out, o_direction, o_batch, o_token, o_channel, length,
    dim: tl.constexpr, taps: tl.constexpr, token_block: tl.constexpr, channel_block: tl.constexpr,
):  # fmt: skip
    """Grid: (blocks of channels, blocks of tokens, batch)."""
    channels = tl.program_id(0) * channel_block + tl.arange(0, channel_block)
    tokens = tl.program_id(1) * token_block + tl.arange(0, token_block)
    batch = tl.program_id(2)
    for direction in tl.static_range(2):
        total = _convolved(
            x, x_batch, x_token, x_channel, weight, bias, batch, tokens, channels, length, direction, dim, taps
        )
        first = out + direction * o_direction
        _store(first, o_batch, o_token, o_channel, batch, tokens, channels, length, dim, total * tl.sigmoid(total))


@triton.jit(do_not_specialize=["length"])
def causal_conv_weight_gradients(
    grad, g_direction, g_batch, g_token, g_channel, x, x_batch, x_token, x_channel, weight, bias, d_total, d_weight,
    d_bias, length, dim: tl.constexpr, taps: tl.constexpr, token_block: tl.constexpr, channel_block: tl.constexpr,
):  # fmt: skip
    """Parts of the weights' gradients, and the gradient before SiLU: d_total is (2, batch, length, dim), contiguous.

    Grid as for the forward pass. d_weight is (batch * blocks of tokens, 2, dim, taps), d_bias without the taps.
    """
    channels = tl.program_id(0) * channel_block + tl.arange(0, channel_block)
    tokens = tl.program_id(1) * token_block + tl.arange(0, token_block)
    batch = tl.program_id(2)
    part = (batch * tl.num_programs(1) + tl.program_id(1)).to(tl.int64)
    for direction in tl.static_range(2):
        total = _convolved(
            x, x_batch, x_token, x_channel, weight, bias, batch, tokens, channels, length, direction, dim, taps
        )
        on = tl.sigmoid(total)
        d_out = _load(grad + direction * g_direction, g_batch, g_token, g_channel, batch, tokens, channels, length, dim)
        d_in = d_out * on * (1.0 + total * (1.0 - on))
        row = direction * tl.num_programs(2).to(tl.int64) + batch
        _store(d_total + row * length * dim, 0, dim, 1, batch, tokens, channels, length, dim, d_in)
        own = (part * 2 + direction) * dim + channels
        tl.store(d_bias + own, tl.sum(d_in, 0), mask=channels < dim)
        for tap in tl.static_range(taps):
            seen = tokens + (taps - 1 - tap) * (2 * direction - 1)
            values = _load(x, x_batch, x_token, x_channel, batch, seen, channels, length, dim)
            tl.store(d_weight + own * taps + tap, tl.sum(d_in * values, 0), mask=channels < dim)


@triton.jit(do_not_specialize=["length"])
def causal_conv_input_gradient(
    d_total, weight, d_x, length, dim: tl.constexpr, taps: tl.constexpr, token_block: tl.constexpr,
    channel_block: tl.constexpr,
):  # fmt: skip
    """The gradient of x, contiguous: each tap the other way round. Grid as for the forward pass."""
    channels = tl.program_id(0) * channel_block + tl.arange(0, channel_block)
    tokens = tl.program_id(1) * token_block + tl.arange(0, token_block)
    batch = tl.program_id(2)
    total = tl.zeros((token_block, channel_block), dtype=tl.float32)
    for direction in tl.static_range(2):
        row = direction * tl.num_programs(2).to(tl.int64) + batch
        for tap in tl.static_range(taps):
            seeing = tokens - (taps - 1 - tap) * (2 * direction - 1)
            values = _load(d_total + row * length * dim, 0, dim, 1, batch, seeing, channels, length, dim)
            total += _weight(weight, direction, tap, channels, dim, taps)[None, :] * values
    first = d_x + batch.to(tl.int64) * length * dim
    _store(first, 0, dim, 1, batch, tokens, channels, length, dim, total)


def _start(kernel: Any, x: Tensor, taps: int, *args: Any) -> None:
    batch, length, dim = x.shape
    channel_block = min(CHANNELS, int(triton.next_power_of_2(dim)))
    grid = (triton.cdiv(dim, channel_block), triton.cdiv(length, TOKENS), batch)
    constants = {"dim": dim, "taps": taps, "token_block": TOKENS, "channel_block": channel_block}
    kernel_launch.launch_kernel(kernel, grid, x.device, (*args, length), constants, WARPS, 1)


@planned
def _forward(x: Tensor, weight: Tensor, bias: Tensor, channels_first: bool) -> Tensor:
    refuse_float64(x, "fused=False")
    out = empty_result(x, weight, bias, channels_first)
    if out.numel():
        weights = weight.contiguous(), bias.contiguous()
        _start(causal_conv_forward, x, weight.shape[-1], x, *x.stride(), *weights, out, *out.stride())
    return out


def _backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, channels_first: bool) -> list[Tensor]:  # noqa: ARG001
    refuse_float64(x, "fused=False")
    d_x, d_weight, d_bias = _planned_backward(grad, x, weight, bias)
    return [d_x, d_weight.sum(0).to(weight.dtype), d_bias.sum(0).to(bias.dtype)]


@planned
def _planned_backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """The gradient of x, and parts of the weights': (parts, 2, dim, taps) and (parts, 2, dim) in float32."""
    taps, (batch, length, dim) = weight.shape[-1], x.shape
    d_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    parts = (batch * triton.cdiv(length, TOKENS), 2, dim)
    d_weight = torch.empty(*parts, taps, dtype=torch.float32, device=x.device)
    d_bias = torch.empty(parts, dtype=torch.float32, device=x.device)
    if x.numel():
        weight, bias = weight.contiguous(), bias.contiguous()
        d_total = torch.empty(2, *x.shape, dtype=torch.float32, device=x.device)
        inputs = (grad, *grad.stride(), x, *x.stride(), weight, bias)
        _start(causal_conv_weight_gradients, x, taps, *inputs, d_total, d_weight, d_bias)
        _start(causal_conv_input_gradient, x, taps, d_total, weight, d_x)
    return [d_x, d_weight, d_bias]


triton_fused = define_causal_conv("triton_fused", _forward, _backward)
