"""Gradients: a program walks against a direction with the gradient of its channels' states in registers.

The states before each token come from the state that entered their chunk. B and C belong to all channels, A, D and
delta_bias to all tokens: programs write their own parts of those gradients, which are summed afterwards in a fixed
order, so that the same inputs give the same bits.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.kernel_math import zeros, zeros_block
from vigbench.ops.scan.kernels.inputs import ScanView
from vigbench.ops.scan.kernels.recurrence import decays, gated, scan, scan_back, step_of
from vigbench.ops.scan.kernels.walk import (
    load_bias,
    load_channels,
    load_log2_decay,
    load_skip,
    load_state,
    load_states,
    store_channels,
    store_row,
    store_state,
    store_states,
    way_of,
)


class Gradients(NamedTuple):
    """Where gradients go: for B and C (programs * directions, batch, length, state), for A and the bias rows of
    (directions, batch, pieces), for A with states before channels; all these are parts of sums, float32.
    """

    u: ScanView
    delta: ScanView
    A: Tensor
    B: ScanView
    C: ScanView
    bias: Tensor


class GradientChunk(NamedTuple):
    """What a chunk's gradients come from, of some channels; `entering` is the state before the chunk."""

    u: Any
    delta: Any
    grad: Any
    z: Any
    entering: Any


class GradientSums(NamedTuple):
    """Of some channels: the gradient of the state after what is done, and the sums over all tokens so far."""

    state: Any
    A: Any
    bias: Any


@triton.jit
def _load(x, grad, entering, way, start, number, variant: tl.constexpr, ahead: tl.constexpr):
    u = load_channels(x.u, way, start, variant, ahead)
    return GradientChunk(
        u,
        load_channels(x.delta, way, start, variant, ahead),
        load_channels(grad, way, start, variant, ahead),
        load_channels(x.z, way, start, variant, ahead) if variant.has_z else u,
        load_state(entering, number, way, True, variant, ahead),
    )


@triton.jit
def _named(sums):
    """Sums out of a tuple, where Triton up to 3.5 forgets the names of their parts."""
    return GradientSums(sums[0], sums[1], sums[2])


@triton.jit
def _first_sums(adjoints, way, variant: tl.constexpr, ahead: tl.constexpr):
    number = way.sequence * way.pieces + way.piece
    state = load_state(adjoints, number, way, way.piece + 1 < way.pieces, variant, ahead)
    tile = zeros(variant.chunk, variant.dim_block)
    return GradientSums(state, zeros_block(1, variant.state_block, variant.dim_block), tile)


@triton.jit
def _block(
    x, now, B, C, d_B, d_C, grads, sums, way, start, scale, variant: tl.constexpr, ahead: tl.constexpr
):  # fmt: skip
    """Writes the gradients of some channels of a chunk; returns those of B and C, channel by channel, and its sums."""
    chunk: tl.constexpr = variant.chunk
    log2_decay = load_log2_decay(x, way, variant, ahead)
    raw, u = now.delta.to(tl.float32) + load_bias(x, way, variant, ahead), now.u.to(tl.float32)
    step = step_of(raw, start, way, variant)
    d_out = gated(now.grad, now.z, scale, variant)
    weight = (step * u)[:, None, :]
    decay = decays(step, log2_decay)
    before, after, _ = scan(decay, weight * B, now.entering, chunk)
    d_C += after * d_out[:, None, :]
    d_state, d_decayed, last = scan_back(decay, d_out[:, None, :] * C, sums.state, chunk)
    d_B += d_state * weight
    d_decay = d_decayed * before  # of the decay's logarithm
    d_A = sums.A + tl.sum(d_decay * step[:, None, :], 0)[None, :, :]
    d_written = tl.sum(d_state * B, 1)
    d_u = d_written * step + load_skip(x, way, variant, ahead) * d_out
    store_channels(grads.u, way, start, d_u, variant, ahead)
    log2_decay = load_log2_decay(x, way, variant, ahead)  # again: until here its registers serve others
    d_raw = tl.sum(d_decay * log2_decay, 1) * 0.6931471805599453 + d_written * u
    if variant.softplus:
        d_raw *= tl.sigmoid(raw)
    d_raw = tl.where((start + tl.arange(0, chunk) < way.end)[:, None], d_raw, 0.0)
    store_channels(grads.delta, way, start, d_raw, variant, ahead)
    return d_B, d_C, GradientSums(last, d_A, sums.bias + d_raw)


@triton.jit(do_not_specialize=["length", "segments", "tokens", "first"])
def scan_gradients(x, grad, entering, adjoints, grads, length, segments, tokens, scale, first, variant: tl.constexpr):
    """Grid: (programs * directions, segments, batch), for the pieces from `first` on; the last ones come first."""
    blocks: tl.constexpr = variant.blocks
    piece = first + tl.program_id(1)
    way = way_of(piece, segments, tokens, length, variant)
    number = way.sequence * way.pieces + piece
    chunks, slots = tl.cdiv(tl.maximum(way.end - way.start, 0), variant.chunk), tl.cdiv(tokens, variant.chunk)
    first_slot = number * slots
    last_chunk = tl.maximum(chunks - 1, 0)
    sums = ()  # type: Any
    for n in tl.static_range(blocks):
        sums += (_first_sums(adjoints, way, variant, n * variant.dim_block),)
    start = way.start + last_chunk * variant.chunk
    following = _load(x, grad, entering, way, start, first_slot + last_chunk, variant, 0)
    for m in range(chunks):
        start = way.start + (chunks - 1 - m) * variant.chunk
        B = load_states(x.B, way, start, variant).to(tl.float32)[:, :, None]
        C = load_states(x.C, way, start, variant).to(tl.float32)[:, :, None]
        d_B = zeros_block(variant.chunk, variant.state_block, variant.dim_block)
        d_C = zeros_block(variant.chunk, variant.state_block, variant.dim_block)
        done = ()  # type: Any
        for n in tl.static_range(blocks):
            now = following
            next_chunk = chunks - 1 - m if n + 1 < blocks else tl.maximum(chunks - 2 - m, 0)
            following = _load(
                x, grad, entering, way, way.start + next_chunk * variant.chunk, first_slot + next_chunk,
                variant, (n + 1) % blocks * variant.dim_block,
            )  # fmt: skip
            d_B, d_C, found = _block(
                x, now, B, C, d_B, d_C, grads, _named(sums[n]), way, start, scale, variant, n * variant.dim_block
            )
            done += (found,)
        sums = done
        store_states(grads.B, way, start, tl.sum(d_B, 2), variant)
        store_states(grads.C, way, start, tl.sum(d_C, 2), variant)
    for n in tl.static_range(blocks):
        found = _named(sums[n])
        store_state(grads.A, number, way, True, found.A, variant, n * variant.dim_block)
        store_row(grads.bias, number, way, tl.sum(found.bias, 0), variant, n * variant.dim_block)
        if not variant.segmented:
            store_state(adjoints, number - 1, way, piece > 0, found.state, variant, n * variant.dim_block)
