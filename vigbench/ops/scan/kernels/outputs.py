"""A program walks through a piece of a direction with the states of its channels in registers: outputs.

The backward pass takes the same walk: it needs the outputs for the gate's gradient, and the state before each chunk.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.kernel_math import zeros
from vigbench.ops.scan.kernels.recurrence import decays, gated, scan, step_of
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
    way_of,
)


class OutputChunk(NamedTuple):
    """What a chunk's outputs come from; `so_far` is what the other direction has written."""

    u: Any
    delta: Any
    B: Any
    C: Any
    z: Any
    grad: Any
    so_far: Any


@triton.jit
def _load(x, grad, out, way, start, variant: tl.constexpr, phase: tl.constexpr, backward: tl.constexpr):
    u = load_channels(x.u, way, start, variant)
    has_z: tl.constexpr = variant.has_z
    needs_grad: tl.constexpr = backward and (has_z or variant.has_skip)
    return OutputChunk(
        u,
        load_channels(x.delta, way, start, variant),
        load_states(x.B, way, start, variant),
        load_states(x.C, way, start, variant),
        load_channels(x.z, way, start, variant) if has_z else u,
        load_channels(grad, way, start, variant) if needs_grad else u,
        load_channels(out, way, start, variant) if phase and (has_z or not backward) else u,
    )


@triton.jit(do_not_specialize=["length", "segments", "tokens"])
def scan_outputs(
    x, grad, states, entering, out, d_skip, length, segments, tokens, scale, variant: tl.constexpr, phase: tl.constexpr,
    backward: tl.constexpr,
):  # fmt: skip
    """Grid: (blocks of channels * directions, segments, batch). `states`: what enters each piece.

    Unless these are known before, the first phase leaves them for the second one. If `backward`, `entering` gets what
    enters each chunk, `out` the gate's gradient in the place of outputs, `d_skip` each piece's part of that of D.
    """
    piece = tl.program_id(1) + phase * segments
    way = way_of(piece, segments, tokens, length, variant)
    log2_decay = load_log2_decay(x, way, variant)
    bias, skip = load_bias(x, way, variant), load_skip(x, way, variant)
    number = way.sequence * way.pieces + piece
    slot = number * tl.cdiv(tokens, variant.chunk)
    state = load_state(states, number, way, piece > 0, variant)
    d_skip_sum = zeros(variant.chunk, variant.dim_block)
    now = _load(x, grad, out, way, way.start, variant, phase, backward)
    for start in range(way.start, way.end, variant.chunk):
        # while this chunk is computed
        following = _load(x, grad, out, way, start + variant.chunk, variant, phase, backward)
        if backward:
            store_state(entering, slot, way, True, state, variant)
            slot += 1
            if variant.has_skip:
                d_skip_sum += gated(now.grad, now.z, scale, variant) * now.u.to(tl.float32)
        u = now.u.to(tl.float32)
        step = step_of(now.delta.to(tl.float32) + bias, start, way, variant)
        written = (step * u)[:, None, :] * now.B.to(tl.float32)[:, :, None]
        _, after, state = scan(decays(step, log2_decay), written, state, variant.chunk)
        y = (tl.sum(after * now.C.to(tl.float32)[:, :, None], 1) + skip * u) * scale
        if variant.has_z:
            gate = now.z.to(tl.float32)
            on = tl.sigmoid(gate)
            y *= now.grad.to(tl.float32) * (on * (1.0 + gate * (1.0 - on))) if backward else gate * on
        if phase:
            y += now.so_far.to(tl.float32)
        if variant.has_z or not backward:
            store_channels(out, way, start, y, variant)
        now = following
    if backward and variant.has_skip:
        store_row(d_skip, number, way, tl.sum(d_skip_sum, 0), variant)
    if not variant.segmented:
        store_state(states, number + 1, way, piece + 1 < way.pieces, state, variant)
