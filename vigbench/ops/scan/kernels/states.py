"""What enters each piece where pieces are walked side by side: first their ends from empty states, then all of them."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.kernel_math import zeros_block, zeros_row
from vigbench.ops.scan.kernels.recurrence import decays, gated, scan, scan_back, step_of
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
    """What a chunk's states come from: u and B, or for adjoints the outputs' gradient with z, and C."""

    value: Any
    z: Any
    key: Any
    delta: Any


@triton.jit
def _load(x, grad, way, start, variant: tl.constexpr, adjoint: tl.constexpr):
    value = load_channels(grad if adjoint else x.u, way, start, variant)
    return StateChunk(
        value,
        load_channels(x.z, way, start, variant) if adjoint and variant.has_z else value,
        load_states(x.C if adjoint else x.B, way, start, variant),
        load_channels(x.delta, way, start, variant),
    )


@triton.jit
def _advanced(chunk, state, step, log2_decay, scale, variant: tl.constexpr, adjoint: tl.constexpr):
    """The state behind a chunk, or with `adjoint` the gradient of the one before it."""
    decay, key = decays(step, log2_decay), chunk.key.to(tl.float32)[:, :, None]
    if adjoint:
        read = gated(chunk.value, chunk.z, scale, variant)[:, None, :] * key
        _, _, state = scan_back(decay, read, state, variant.chunk)
    else:
        _, _, state = scan(decay, (step * chunk.value.to(tl.float32))[:, None, :] * key, state, variant.chunk)
    return state


@triton.jit(do_not_specialize=["length", "segments", "tokens"])
def scan_states(x, grad, ends, steps, length, segments, tokens, scale, variant: tl.constexpr, adjoint: tl.constexpr):
    """What leaves each piece from an empty state, and its steps' sum. Grid: (blocks * directions, pieces, batch).

    With `adjoint` against the direction: the gradient of what enters each piece.
    """
    piece = tl.program_id(1)
    way = way_of(piece, segments, tokens, length, variant)
    log2_decay, bias = load_log2_decay(x, way, variant), load_bias(x, way, variant)
    chunks = tl.cdiv(tl.maximum(way.end - way.start, 0), variant.chunk)
    state = zeros_block(1, variant.state_block, variant.dim_block)
    passed = zeros_row(variant.dim_block)
    first = tl.maximum(chunks - 1, 0) if adjoint else chunks * 0
    now = _load(x, grad, way, way.start + first * variant.chunk, variant, adjoint)
    for n in range(chunks):
        start = way.start + (chunks - 1 - n if adjoint else n) * variant.chunk
        next_start = tl.maximum(start - variant.chunk, way.start) if adjoint else start + variant.chunk
        following = _load(x, grad, way, next_start, variant, adjoint)  # while this chunk is computed
        step = step_of(now.delta.to(tl.float32) + bias, start, way, variant)
        state = _advanced(now, state, step, log2_decay, scale, variant, adjoint)
        passed += tl.sum(step, 0)
        now = following
    number = way.sequence * way.pieces + piece
    store_state(ends, number, way, True, state, variant)
    store_row(steps, number, way, passed, variant)


@triton.jit(do_not_specialize=["segments"])
def scan_carry(x, states, ends, steps, segments, variant: tl.constexpr, adjoint: tl.constexpr):
    """What enters each piece: pieces are to states what tokens are. Grid: (blocks * directions, 1, batch)."""
    way = way_of(tl.program_id(1), segments, 1, segments, variant)
    log2_decay = load_log2_decay(x, way, variant)
    entering = zeros_block(1, variant.state_block, variant.dim_block)
    for start in range(0, way.pieces, variant.chunk):
        n = start + tl.arange(0, variant.chunk)
        valid = (n + 1 < way.pieces)[:, None]  # nothing enters a piece after the last one
        piece = way.sequence * way.pieces + (way.pieces - 1 - n if adjoint else n)
        row = piece.to(tl.int64)[:, None] * variant.dim + way.channels[None, :]
        step = tl.load(steps + row, mask=valid & (way.channels < variant.dim)[None, :], other=0.0)
        at, mask = at_states(ends, piece, way, variant)
        mask &= valid[:, :, None]
        left = tl.load(at, mask=mask, other=0.0)
        _, after, entering = scan(decays(step, log2_decay), left, entering, variant.chunk)
        at, _ = at_states(states, piece - 1 if adjoint else piece + 1, way, variant)
        tl.store(at, after, mask=mask)
