"""Pass 1: the state that enters each chunk, in both directions from one launch.

With `adjoint`, q and the output's gradient take the places of k and v, and what is computed is the gradient of the
state that leaves each chunk; it travels against the direction.
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.state import at_state
from vigbench.ops.gla.kernels.tiles import GlaPlace, dot, load_tile, place_of
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import zeros
from vigbench.ops.scalar_gla.kernels.decays import arrival, decay_sums, departure, passage


@triton.jit
def grouped(at, variant: tl.constexpr):
    """The place of the queries and keys that a head of values reads."""
    return GlaPlace(at.batch, at.head // variant.group, at.start, at.length, at.rows, at.valid)


@triton.jit
def load_chunk_state(states, row, chunk, chunks, keys, values, variant: tl.constexpr):
    """What enters a chunk of sequence `row`, (keys, values), as stored."""
    at, mask = at_state(states, row * chunks + chunk, keys, values, variant, False)
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def direction_rows(batch, head, batches, variant: tl.constexpr):
    """The numbers of a sequence among all states, of the forward and of the backward direction."""
    forward = batch * variant.heads + head
    backward = forward + batches * variant.heads if variant.forward else forward
    return forward, backward


@triton.jit
def _walk(
    k, v, gate, states, length, batch, head, row, keys, values,
    variant: tl.constexpr, to_end: tl.constexpr, adjoint: tl.constexpr,
):  # fmt: skip
    """One sequence in one direction; `row` numbers it among all states."""
    dtype: tl.constexpr = v.data.dtype.element_ty
    chunks = tl.cdiv(length, variant.chunk)
    state = zeros(variant.key_block, variant.value_block)
    for n in range(chunks):
        chunk = n if to_end != adjoint else chunks - 1 - n
        at = place_of(batch, head, chunk, length, variant)
        pointers, mask = at_state(states, row * chunks + chunk, keys, values, variant, False)
        tl.store(pointers, state.to(states.dtype.element_ty), mask=mask)
        sums = decay_sums(gate, at, to_end)
        weights = arrival(sums) if adjoint else departure(sums)
        written = load_tile(v, at, values, variant.value_dim).to(tl.float32) * weights[:, None]
        k_tile = load_tile(k, grouped(at, variant), keys, variant.key_dim)
        state = passage(sums) * state + dot(tl.trans(k_tile), written, dtype)


@triton.jit(do_not_specialize=["length"])
def scalar_states(k, v, gate_fwd, gate_bwd, states, length, variant: tl.constexpr, adjoint: tl.constexpr):
    """Grid: (heads * blocks of keys and values * directions, batch, 1): directions share k and v in the cache."""
    directions: tl.constexpr = variant.forward + variant.backward
    block, direction = tl.program_id(0) // directions, tl.program_id(0) % directions
    values = value_block(block % variant.value_blocks, variant)
    keys = key_block(block // variant.value_blocks % variant.key_blocks, variant)
    head, batch = block // (variant.value_blocks * variant.key_blocks), tl.program_id(1)
    row_fwd, row_bwd = direction_rows(batch, head, tl.num_programs(1), variant)
    if variant.forward and direction == 0:
        _walk(k, v, gate_fwd, states, length, batch, head, row_fwd, keys, values, variant, True, adjoint)
    else:
        _walk(k, v, gate_bwd, states, length, batch, head, row_bwd, keys, values, variant, False, adjoint)
