"""Outputs: a program walks through a piece of a direction with the states of its channels in registers."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.scan.kernels.recurrence import decays, last, scan, step_of
from vigbench.ops.scan.kernels.walk import (
    load_bias,
    load_channels,
    load_log2_decay,
    load_skip,
    load_state,
    load_states,
    store_channels,
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
    so_far: Any


@triton.jit
def _load(x, out, way, start, variant: tl.constexpr, phase: tl.constexpr):
    u = load_channels(x.u, way, start, variant)
    return OutputChunk(
        u,
        load_channels(x.delta, way, start, variant),
        load_states(x.B, way, start, variant),
        load_states(x.C, way, start, variant),
        load_channels(x.z, way, start, variant) if variant.has_z else u,
        load_channels(out, way, start, variant) if phase else u,
    )


@triton.jit(do_not_specialize=["length", "segments", "tokens"])
def scan_outputs(x, states, out, length, segments, tokens, scale, variant: tl.constexpr, phase: tl.constexpr):
    """Grid: (blocks of channels * directions, segments, batch). `states`: what enters each piece.

    Unless these are known before, the first phase leaves them for the second one.
    """
    piece = tl.program_id(1) + phase * segments
    way = way_of(piece, segments, tokens, length, variant)
    log2_decay = load_log2_decay(x, way, variant)
    bias, skip = load_bias(x, way, variant), load_skip(x, way, variant)
    number = way.sequence * way.pieces + piece
    state = load_state(states, number, way, piece > 0, variant)
    now = _load(x, out, way, way.start, variant, phase)
    for start in range(way.start, way.end, variant.chunk):
        following = _load(x, out, way, start + variant.chunk, variant, phase)  # while this chunk is computed
        u = now.u.to(tl.float32)
        step = step_of(now.delta, bias, start, way, variant)
        written = (step * u)[:, None, :] * now.B.to(tl.float32)[:, :, None]
        after = scan(decays(step, log2_decay), written, state, variant.chunk)
        state = last(after, variant.chunk)
        y = tl.sum(after * now.C.to(tl.float32)[:, :, None], 1) + skip * u
        if variant.has_z:
            gate = now.z.to(tl.float32)
            y *= gate * tl.sigmoid(gate)
        y *= scale
        if phase:
            y += now.so_far.to(tl.float32)
        store_channels(out, way, start, y, variant)
        now = following
    if not variant.segmented:
        store_state(states, number + 1, way, piece + 1 < way.pieces, state, variant)
