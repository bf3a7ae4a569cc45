"""Pass 1: the state that enters each chunk, in both directions from one pass over k, v and the gates.

With `adjoint`, q and the output's gradient take the places of k and v, and what is computed is the gradient of the
state that leaves each chunk; it travels against the direction. Long sequences are cut into segments that are
computed side by side, each from an empty state; `carry_states` then hands states on from segment to segment.
"""

from typing import Literal, NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.gla.kernels.features import load_features
from vigbench.ops.gla.kernels.gates import load_log2_decay, load_projection, project_log2_decays
from vigbench.ops.gla.kernels.state import at_state, by_key, empty_state, load_state, outer, store_state
from vigbench.ops.gla.kernels.sums import SMALLEST, sums_of, tokens_seen
from vigbench.ops.gla.kernels.tiles import GlaPlace, load_tile, place_of
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import zeros, zeros_row

Part = Literal["all", "ends", "entered"]  # of what is stored, see `chunk_states`


class GlaStates(NamedTuple):
    """States of the directions there are, the forward one first; all tensors contiguous.

    `chunks`, (directions, batch, heads, chunks, key_dim, value_dim): what enters each chunk from its own segment.
    `decays`, (directions, batch, heads, chunks, key_dim), float32: the factor on what entered the segment, at the
    chunk. `segments`, as `chunks` with a segment for each chunk: what enters each segment.
    """

    chunks: Tensor
    decays: Tensor
    segments: Tensor


@triton.jit
def _at_factors(data, number, keys, variant: tl.constexpr):
    """Pointers to, and mask of, (keys) of the decay factors of a state."""
    return data + number.to(tl.int64) * variant.key_dim + keys, keys < variant.key_dim


@triton.jit
def _blocks(program, variant: tl.constexpr):
    """The key and value channels of a program, and its head."""
    rest = program // variant.value_blocks
    values = value_block(program % variant.value_blocks, variant)
    return key_block(rest % variant.key_blocks, variant), values, rest // variant.key_blocks


@triton.jit
def state_rows(batch, head, batches, heads: tl.constexpr, variant: tl.constexpr):
    """The numbers of a sequence among all states, of the forward and of the backward direction."""
    forward = batch * heads + head
    backward = forward + batches * heads if variant.forward else forward
    return forward, backward


@triton.jit
def load_entering(states, row, chunk, chunks, segment_chunks, keys, values, variant: tl.constexpr):
    """What enters a chunk of sequence `row`, (keys, values) in float32, completed by what entered its segment."""
    at, mask = at_state(states.chunks, row * chunks + chunk, keys, values, variant, False)
    state = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    if variant.segmented:
        at, mask = _at_factors(states.decays, row * chunks + chunk, keys, variant)
        decay = tl.load(at, mask=mask, other=0.0)
        segments = (chunks + segment_chunks - 1) // segment_chunks
        at, mask = at_state(states.segments, row * segments + chunk // segment_chunks, keys, values, variant, False)
        state += decay[:, None] * tl.load(at, mask=mask, other=0.0).to(tl.float32)
    return state


@triton.jit
def _step(
    k, v, gate, projection, states, state, decay, at, number, keys, values, variant: tl.constexpr, to_end: tl.constexpr,
    adjoint: tl.constexpr, part: tl.constexpr,
):  # fmt: skip
    """Store what enters a chunk, and return what leaves it. `to_end`: whether it travels from token to next token."""
    if part != "ends":
        store_state(states.chunks, number, keys, values, state, variant)
    if variant.segmented and part == "all":
        pointers, mask = _at_factors(states.decays, number, keys, variant)
        tl.store(pointers, decay, mask=mask)
    dtype: tl.constexpr = v.data.dtype.element_ty
    # of the tokens after each one, in the adjoint itself included: never a difference, so that any decay stays exact
    if adjoint or dtype != tl.float32:
        g = project_log2_decays(gate, projection, at, keys, variant)
        total = tl.sum(g, 0)
    else:
        rows = at.rows + 1 if to_end else at.rows - 1
        valid = (rows < variant.chunk) & (rows >= 0) & (at.start + rows < at.length)
        shifted = GlaPlace(at.batch, at.head, at.start, at.length, rows, valid)
        g = project_log2_decays(gate, projection, shifted, keys, variant)
        total = tl.sum(g, 0) + load_log2_decay(gate, at, 0 if to_end else variant.chunk - 1, keys, variant)
    if dtype == tl.float32:
        after = tl.cumsum(g, 0, reverse=to_end)
    else:
        after = sums_of(tl.maximum(g, SMALLEST), tokens_seen(variant.chunk, to_end, not adjoint), dtype)
    weighted = load_features(k, at, keys, variant).to(tl.float32) * tl.exp2(after)
    v_tile = load_tile(v, at, values, variant.value_dim)
    factor = tl.exp2(total)
    return by_key(factor, variant.turned) * state + outer(weighted.to(dtype), v_tile, dtype, variant), factor * decay


@triton.jit
def _walk(
    k, v, gate, states, ends, end_decays, length, segment_chunks, batch, head, row, keys, values,
    variant: tl.constexpr, to_end: tl.constexpr, adjoint: tl.constexpr, part: tl.constexpr,
):  # fmt: skip
    """One segment in one direction; `row` numbers the sequence among all states."""
    segment, segments = tl.program_id(1), tl.num_programs(1)
    chunks = tl.cdiv(length, variant.chunk)
    first = segment * segment_chunks
    count = tl.minimum(segment_chunks, chunks - first)
    state = empty_state(variant)
    if part == "entered":
        state += load_state(states.segments, row * segments + segment, keys, values, variant)
    decay = 1.0 + zeros_row(variant.key_block)
    projection = load_projection(gate, head, keys, variant)
    for n in range(count):
        chunk = first + n if to_end else first + count - 1 - n
        at = place_of(batch, head, chunk, length, variant)
        state, decay = _step(
            k, v, gate, projection, states, state, decay, at, row * chunks + chunk, keys, values,
            variant, to_end, adjoint, part,
        )  # fmt: skip
    if variant.segmented and part != "entered":
        store_state(ends, row * segments + segment, keys, values, state, variant)
        pointers, mask = _at_factors(end_decays, row * segments + segment, keys, variant)
        tl.store(pointers, decay, mask=mask)


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def chunk_states(
    k, v, gate_fwd, gate_bwd, states, ends, end_decays, length, segment_chunks,
    heads: tl.constexpr, variant: tl.constexpr, adjoint: tl.constexpr, part: tl.constexpr,
):  # fmt: skip
    """Grid: (heads * blocks of keys and values * directions, segments, batch): directions share k and v in the cache.

    `ends` and `end_decays`: what leaves each segment, float32. `part`, of what is stored: "all"; "ends", nothing else;
    "entered", where it is known what enters segments: the states of chunks, complete, and nothing else.
    """
    directions: tl.constexpr = variant.forward + variant.backward
    block, direction = tl.program_id(0) // directions, tl.program_id(0) % directions
    keys, values, head = _blocks(block, variant)
    batch = tl.program_id(2)
    row = (direction * tl.num_programs(2) + batch) * heads + head
    if variant.forward and direction == 0:
        _walk(
            k, v, gate_fwd, states, ends, end_decays, length, segment_chunks, batch, head, row, keys, values,
            variant, not adjoint, adjoint, part,
        )  # fmt: skip
    else:
        _walk(
            k, v, gate_bwd, states, ends, end_decays, length, segment_chunks, batch, head, row, keys, values,
            variant, adjoint, adjoint, part,
        )  # fmt: skip


@triton.jit(do_not_specialize=["segments"])
def carry_states(states, ends, end_decays, segments, heads: tl.constexpr, variant: tl.constexpr, adjoint: tl.constexpr):
    """What enters each segment, from what leaves each. Grid: (heads * blocks of keys and values, directions, batch)."""
    keys, values, head = _blocks(tl.program_id(0), variant)
    row = (tl.program_id(1) * tl.num_programs(2) + tl.program_id(2)) * heads + head
    direction = tl.program_id(1) if variant.forward else 1
    to_start = (direction == 1) != adjoint
    state = zeros(variant.key_block, variant.value_block)
    for n in range(segments):
        number = row * segments + tl.where(to_start, segments - 1 - n, n)
        pointers, mask = at_state(states.segments, number, keys, values, variant, False)
        tl.store(pointers, state.to(states.segments.dtype.element_ty), mask=mask)
        pointers, mask = at_state(ends, number, keys, values, variant, False)
        written = tl.load(pointers, mask=mask, other=0.0)
        pointers, mask = _at_factors(end_decays, number, keys, variant)
        state = tl.load(pointers, mask=mask, other=0.0)[:, None] * state + written
