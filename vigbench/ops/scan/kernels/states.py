"""Pass 1: the state that enters each chunk, or with `adjoint` the gradient of the state that leaves it.

Long sequences are cut into segments that are computed side by side, each from an empty state; `carry_states` then hands
states on from segment to segment. No state inside a chunk is needed for this: each token's part is its own product.
"""

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.scan.kernels.tiles import (
    at_matrix,
    load_channels,
    load_gradient,
    load_log2_decay,
    load_row,
    load_states,
    load_step,
    moved,
    place_of,
    store_row,
)


class ScanStates(NamedTuple):
    """States of the directions there are, float32, contiguous.

    `chunks`, (directions, batch, chunks, dim, state): what enters each chunk from its own segment. `steps`,
    (directions, batch, chunks, dim): the sum of steps from the start of the segment to the chunk. `segments`, as
    `chunks` with a segment for each chunk: what enters each segment.
    """

    chunks: Tensor
    steps: Tensor
    segments: Tensor


@triton.jit
def blocks(program, variant: tl.constexpr):
    """The channels and the states of a program."""
    return program * variant.dim_block + tl.arange(0, variant.dim_block), tl.arange(0, variant.state_block)


@triton.jit
def load_state(states, row, chunk, chunks, segment_chunks, log2_decay, channels, numbers, variant: tl.constexpr):
    """What enters a chunk of sequence `row`, (channels, states), completed by what entered its segment."""
    at, mask = at_matrix(states.chunks, row * chunks + chunk, channels, numbers, variant)
    state = tl.load(at, mask=mask, other=0.0)
    if variant.segmented:
        step = load_row(states.steps, row * chunks + chunk, channels, variant)
        segments = (chunks + segment_chunks - 1) // segment_chunks
        at, mask = at_matrix(states.segments, row * segments + chunk // segment_chunks, channels, numbers, variant)
        state += tl.exp2(step[:, None] * log2_decay) * tl.load(at, mask=mask, other=0.0)
    return state


@triton.jit
def _written(
    x, grad, at, length, scale, log2_decay, variant: tl.constexpr, reverse: tl.constexpr, adjoint: tl.constexpr
):  # fmt: skip
    """What a chunk adds to the state that leaves it, (channels, states), and the sum of its steps, (channels)."""
    step = load_step(x, at, variant)
    if adjoint:  # from where the state enters the chunk to each token, the token itself included
        path = tl.cumsum(step, 0, reverse=reverse)
        value, key = load_gradient(grad, x, at, scale, variant), load_states(x.C, at, variant)
    else:  # of the tokens after each one: read where they are, not subtracted, so that any step stays exact
        later = load_step(x, moved(at, -1 if reverse else 1, length, variant), variant)
        path = tl.cumsum(later, 0, reverse=not reverse)
        value, key = step * load_channels(x.u, at, variant), load_states(x.B, at, variant)
    parts = tl.exp2(path[:, :, None] * log2_decay[None, :, :]) * value[:, :, None] * key[:, None, :]
    return tl.sum(parts, 0), tl.sum(step, 0)


@triton.jit
def _walk(
    x, grad, states, ends, end_steps, length, segment_chunks, scale, direction, variant: tl.constexpr,
    reverse: tl.constexpr, adjoint: tl.constexpr,
):  # fmt: skip
    """One segment of one direction."""
    channels, numbers = blocks(tl.program_id(0) // (variant.forward + variant.backward), variant)
    segment, segments, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    row = direction * tl.num_programs(2) + batch
    chunks = tl.cdiv(length, variant.chunk)
    first = segment * segment_chunks
    count = tl.minimum(segment_chunks, chunks - first)
    log2_decay = load_log2_decay(x, direction, channels, numbers, variant)
    state, passed = log2_decay * 0.0, tl.sum(log2_decay * 0.0, 1)
    for n in range(count):
        chunk = first + n if reverse == adjoint else first + count - 1 - n
        at = place_of(direction, batch, chunk, length, channels, numbers, variant)
        pointers, mask = at_matrix(states.chunks, row * chunks + chunk, channels, numbers, variant)
        tl.store(pointers, state, mask=mask)
        if variant.segmented:
            store_row(states.steps, row * chunks + chunk, channels, passed, variant)
        written, step = _written(x, grad, at, length, scale, log2_decay, variant, reverse, adjoint)
        state = tl.exp2(step[:, None] * log2_decay) * state + written
        passed += step
    if variant.segmented:
        pointers, mask = at_matrix(ends, row * segments + segment, channels, numbers, variant)
        tl.store(pointers, state, mask=mask)
        store_row(end_steps, row * segments + segment, channels, passed, variant)


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def scan_states(
    x, grad, states, ends, end_steps, length, segment_chunks, scale, variant: tl.constexpr, adjoint: tl.constexpr
):
    """Grid: (blocks of channels * directions, segments, batch). `ends`, `end_steps`: what leaves each segment."""
    directions: tl.constexpr = variant.forward + variant.backward
    direction = tl.program_id(0) % directions
    if variant.forward and direction == 0:
        _walk(x, grad, states, ends, end_steps, length, segment_chunks, scale, direction, variant, False, adjoint)
    else:
        _walk(x, grad, states, ends, end_steps, length, segment_chunks, scale, direction, variant, True, adjoint)


@triton.jit(do_not_specialize=["segments"])
def carry_states(x, states, ends, end_steps, segments, variant: tl.constexpr, adjoint: tl.constexpr):
    """What enters each segment, from what leaves each. Grid: (blocks of channels, directions, batch)."""
    channels, numbers = blocks(tl.program_id(0), variant)
    direction = tl.program_id(1)
    row = direction * tl.num_programs(2) + tl.program_id(2)
    reverse = direction == 1 if variant.forward else True
    to_start = reverse != adjoint
    log2_decay = load_log2_decay(x, direction, channels, numbers, variant)
    state = log2_decay * 0.0
    for n in range(segments):
        number = row * segments + tl.where(to_start, segments - 1 - n, n)
        pointers, mask = at_matrix(states.segments, number, channels, numbers, variant)
        tl.store(pointers, state, mask=mask)
        pointers, mask = at_matrix(ends, number, channels, numbers, variant)
        written = tl.load(pointers, mask=mask, other=0.0)
        step = load_row(end_steps, number, channels, variant)
        state = tl.exp2(step[:, None] * log2_decay) * state + written
