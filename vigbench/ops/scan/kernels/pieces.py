"""What enters each piece where pieces are walked side by side: first their ends from empty states, then all of them."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.scan.kernels.recurrence import decays, last, scan, step_of
from vigbench.ops.scan.kernels.walk import (
    at_states,
    load_bias,
    load_channels,
    load_log2_decay,
    load_states,
    store_row,
    store_state,
    way_of,
)


class StateChunk(NamedTuple):
    """What a chunk's states come from."""

    u: Any
    delta: Any
    B: Any


@triton.jit
def _load(x, way, start, variant: tl.constexpr):
    return StateChunk(
        load_channels(x.u, way, start, variant),
        load_channels(x.delta, way, start, variant),
        load_states(x.B, way, start, variant),
    )


@triton.jit(do_not_specialize=["length", "segments", "tokens"])
def scan_states(x, ends, steps, length, segments, tokens, variant: tl.constexpr):
    """What leaves each piece from an empty state, and its steps' sum. Grid: (blocks * directions, pieces, batch)."""
    piece = tl.program_id(1)
    way = way_of(piece, segments, tokens, length, variant)
    log2_decay, bias = load_log2_decay(x, way, variant), load_bias(x, way, variant)
    state = tl.zeros((1, variant.state_block, variant.dim_block), tl.float32)
    passed = tl.zeros((variant.dim_block,), tl.float32)
    now = _load(x, way, way.start, variant)
    for start in range(way.start, way.end, variant.chunk):
        following = _load(x, way, start + variant.chunk, variant)
        step = step_of(now.delta, bias, start, way, variant)
        written = (step * now.u.to(tl.float32))[:, None, :] * now.B.to(tl.float32)[:, :, None]
        state = last(scan(decays(step, log2_decay), written, state, variant.chunk), variant.chunk)
        passed += tl.sum(step, 0)
        now = following
    number = way.sequence * way.pieces + piece
    store_state(ends, number, way, True, state, variant)
    store_row(steps, number, way, passed, variant)


@triton.jit(do_not_specialize=["segments"])
def scan_carry(x, states, ends, steps, segments, variant: tl.constexpr):
    """What enters each piece: pieces are to states what tokens are. Grid: (blocks * directions, 1, batch)."""
    way = way_of(tl.program_id(1), segments, 1, segments, variant)
    log2_decay = load_log2_decay(x, way, variant)
    first = way.sequence * way.pieces
    entering = tl.zeros((1, variant.state_block, variant.dim_block), tl.float32)
    for start in range(0, way.pieces, variant.chunk):
        piece = start + tl.arange(0, variant.chunk)
        valid = (piece + 1 < way.pieces)[:, None]  # nothing enters a piece after the last one
        number = (first + piece).to(tl.int64)[:, None] * variant.dim + way.channels[None, :]
        step = tl.load(steps + number, mask=valid & (way.channels < variant.dim)[None, :], other=0.0)
        at, mask = at_states(ends, first + piece, way, variant)
        mask &= valid[:, :, None]
        after = scan(decays(step, log2_decay), tl.load(at, mask=mask, other=0.0), entering, variant.chunk)
        at, _ = at_states(states, first + piece + 1, way, variant)
        tl.store(at, after, mask=mask)
        entering = last(after, variant.chunk)
