"""Backward, the gradients of q, k and the log-decays in each chunk, from the states and their gradients at its ends.

States and scores are computed anew: nothing but the inputs is kept from the forward pass. The gradient of a log-decay
is sum(state before the token * gradient of the state after it): of all pairs of tokens that meet across it, added up as
they are. From token to token it changes by sum(q * dq - k * dk), but the rounding of such differences would drown what
is left of a head's decay once all tokens are summed.
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.tiles import dot, load_tile, place_of, store_tile
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import zeros, zeros_row
from vigbench.ops.scalar_gla.kernels.decays import arrival, behind, decay_sums, departure, pair_decays, passage
from vigbench.ops.scalar_gla.kernels.states import direction_rows, load_chunk_state


@triton.jit
def _state_products(x, states, state_grads, row, chunk, chunks, at, keys, value_blocks, variant: tl.constexpr):
    """What one direction's states give to q and k, without the decays to and from the chunk's ends; and
    sum(state * gradient), of each key channel."""
    dtype: tl.constexpr = x.v.data.dtype.element_ty
    dq, dk = zeros(variant.chunk, variant.key_block), zeros(variant.chunk, variant.key_block)
    through = zeros_row(variant.key_block)
    for block in range(value_blocks):
        values = value_block(block, variant)
        state = load_chunk_state(states, row, chunk, chunks, keys, values, variant)
        dq += dot(load_tile(x.grad, at, values, variant.value_dim), tl.trans(state), dtype)
        state_grad = load_chunk_state(state_grads, row, chunk, chunks, keys, values, variant)
        dk += dot(load_tile(x.v, at, values, variant.value_dim), tl.trans(state_grad), dtype)
        through += tl.sum(state.to(tl.float32) * state_grad.to(tl.float32), 1)
    return dq, dk, through


@triton.jit
def _finish(
    dg, pairs, dq, dk, q_tile, k_tile, through, sums, at, first, scale, variant: tl.constexpr, to_end: tl.constexpr
):
    """One direction's `_state_products` with their decays; stores the gradient of its log-decays as far as this block
    of keys makes it. `pairs`: score * gradient * decay, (queries, keys).
    """
    dq *= arrival(sums)[:, None]
    dk *= departure(sums)[:, None]
    distance = behind(at.rows, False)
    across = tl.cumsum(pairs, 0, reverse=to_end) + tl.sum(k_tile * dk, 1)[None, :]  # (token, key that comes before it)
    across = tl.sum(tl.where(distance > 0 if to_end else distance < 0, across, 0.0), 1)
    arriving = tl.cumsum(tl.sum(q_tile * dq, 1), 0, reverse=to_end)
    gradient = (passage(sums) * tl.sum(through, 0) + across + arriving) * scale
    tl.store(dg + (first + at.start + at.rows) * variant.heads + at.head, gradient, mask=at.valid)
    return dq, dk


@triton.jit
def _score_products(x, gate_fwd, gate_bwd, q_tile, k_tile, dq, dk, at, value_blocks, variant: tl.constexpr):
    """dq and dk plus what the attention inside the chunk gives, and the gradients of scores times their decays."""
    dtype: tl.constexpr = x.v.data.dtype.element_ty
    d_scores = zeros(variant.chunk, variant.chunk)
    turned = zeros(variant.chunk, variant.chunk)  # computed once more, not turned around (`gla/kernels/settings.py`)
    for block in range(value_blocks):
        values = value_block(block, variant)
        v_tile, grad = load_tile(x.v, at, values, variant.value_dim), load_tile(x.grad, at, values, variant.value_dim)
        d_scores += dot(grad, tl.trans(v_tile), dtype)
        turned += dot(v_tile, tl.trans(grad), dtype)
    sums_fwd = decay_sums(gate_fwd, at, True)
    sums_bwd = decay_sums(gate_bwd, at, False)
    turned *= pair_decays(sums_fwd, sums_bwd, at.rows, variant, True)
    dk += dot(turned, q_tile, dtype)
    d_scores *= pair_decays(sums_fwd, sums_bwd, at.rows, variant, False)
    dq += dot(d_scores, k_tile, dtype)
    return dq, dk, d_scores


@triton.jit(do_not_specialize=["length", "first_direction", "end_direction", "value_blocks", "heads"])
def scalar_key_gradients(
    x, gate_fwd, gate_bwd, states, state_grads, dq, dk, dg_fwd, dg_bwd, length,
    first_direction, end_direction, value_blocks, heads, scale, variant: tl.constexpr,
):  # fmt: skip
    """Gradients of q and k, and of the log-decays the part of each block of keys: (blocks, batch, length, heads).

    A program takes all heads that share its queries and keys, one after another: so their gradients need no sum.
    Loops over blocks, heads and directions end where only the run time knows: unrolled, they would not fit the
    registers.
    Grid: (groups * key blocks, chunks, batch).
    """
    group, block = tl.program_id(0) // variant.key_blocks, tl.program_id(0) % variant.key_blocks
    keys = key_block(block, variant)
    chunk, chunks, batch, batches = tl.program_id(1), tl.num_programs(1), tl.program_id(2), tl.num_programs(2)
    shared = place_of(batch, group, chunk, length, variant)
    q_tile, k_tile = load_tile(x.q, shared, keys, variant.key_dim), load_tile(x.k, shared, keys, variant.key_dim)
    first = (block * batches + batch).to(tl.int64) * length
    dq_tile, dk_tile = zeros(variant.chunk, variant.key_block), zeros(variant.chunk, variant.key_block)
    for n in range(heads):
        at = place_of(batch, group * variant.group + n, chunk, length, variant)
        row_fwd, row_bwd = direction_rows(batch, at.head, batches, variant)
        dq_tile, dk_tile, pairs = _score_products(
            x, gate_fwd, gate_bwd, q_tile, k_tile, dq_tile, dk_tile, at, value_blocks, variant
        )
        pairs *= dot(q_tile, tl.trans(k_tile), x.v.data.dtype.element_ty)
        for direction in range(first_direction, end_direction):
            row = row_fwd if direction == 0 else row_bwd
            q_part, k_part, through = _state_products(
                x, states, state_grads, row, chunk, chunks, at, keys, value_blocks, variant
            )
            if direction == 0:
                sums = decay_sums(gate_fwd, at, True)
                q_part, k_part = _finish(
                    dg_fwd, pairs, q_part, k_part, q_tile, k_tile, through, sums, at, first, scale, variant, True
                )
            else:
                sums = decay_sums(gate_bwd, at, False)
                q_part, k_part = _finish(
                    dg_bwd, pairs, q_part, k_part, q_tile, k_tile, through, sums, at, first, scale, variant, False
                )
            dq_tile += q_part
            dk_tile += k_part
    store_tile(dq, shared, keys, variant.key_dim, dq_tile * scale)
    store_tile(dk, shared, keys, variant.key_dim, dk_tile * scale)
