"""Backward, the gradient of v in each chunk: from the gradients of the states that leave it and the attention inside.

The mirror image of the outputs: keys take the place of queries, and states are those that travel back. Scores stand
with keys in the rows from the start: no product is turned around to be the operand of the next one (`settings.py`).
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.gates import load_log_decay, load_log_decays
from vigbench.ops.gla.kernels.outputs import is_mild, split_decay
from vigbench.ops.gla.kernels.states import load_state, state_rows
from vigbench.ops.gla.kernels.tiles import dot, load_row, load_tile, place_of, put_row, store_tile, zeros
from vigbench.ops.gla.kernels.variant import key_block, value_block


@triton.jit
def _weigh(q_tile, k_tile, gate, at, keys, dtype: tl.constexpr, variant: tl.constexpr, to_end: tl.constexpr):
    """One direction's scores, keys in the rows, a token with itself included.

    Also the keys that they are the product of, and the factor that both lack on their way through a state.
    """
    arrive, leave, half = split_decay(load_log_decays(gate, at, keys, variant), to_end)
    keys_left = (k_tile * leave).to(dtype)
    scores = dot(keys_left, tl.trans((q_tile * arrive).to(dtype)), dtype)
    if to_end:
        scores = tl.where(at.rows[:, None] > at.rows[None, :], 0.0, scores)
    else:
        scores = tl.where(at.rows[:, None] < at.rows[None, :], 0.0, scores)
    return scores, keys_left, tl.exp(half)[:, None]


@triton.jit
def _exact(q, k, grad, gate, state_grad, dv, at, keys, values, variant: tl.constexpr, to_end: tl.constexpr):
    """`dv` plus one direction's share, token by token against that direction."""
    for n in range(variant.chunk):
        row = variant.chunk - 1 - n if to_end else n
        q_row, grad_row = (
            load_row(q, at, row, keys, variant.key_dim),
            load_row(grad, at, row, values, variant.value_dim),
        )
        state_grad += q_row[:, None] * grad_row[None, :]
        dv = put_row(dv, at, row, tl.sum(state_grad * load_row(k, at, row, keys, variant.key_dim)[:, None], 0))
        state_grad = tl.exp(load_log_decay(gate, at, row, keys, variant))[:, None] * state_grad
    return dv


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def chunk_value_gradients(
    q, k, gate_fwd, gate_bwd, grad, state_grads, dv, length, segment_chunks, scale,
    heads: tl.constexpr, variant: tl.constexpr,
):  # fmt: skip
    """Grid: (heads * value blocks, chunks, batch)."""
    head, block = tl.program_id(0) // variant.value_blocks, tl.program_id(0) % variant.value_blocks
    values = value_block(block, variant)
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    row_fwd, row_bwd = state_rows(batch, head, tl.num_programs(2), heads, variant)
    at = place_of(batch, head, chunk, length, variant)
    dtype: tl.constexpr = dv.data.dtype.element_ty
    total = zeros(variant.chunk, variant.value_block)
    if is_mild(gate_fwd, gate_bwd, at, variant):
        scores = zeros(variant.chunk, variant.chunk)
        for key in range(variant.key_blocks):
            keys = key_block(key, variant)
            q_tile, k_tile = load_tile(q, at, keys, variant.key_dim), load_tile(k, at, keys, variant.key_dim)
            if variant.forward:
                part, keys_left, factor = _weigh(q_tile, k_tile, gate_fwd, at, keys, dtype, variant, True)
                leaving = load_state(state_grads, row_fwd, chunk, chunks, segment_chunks, keys, values, variant)
                scores += part
                total += dot(keys_left, factor * leaving, dtype)
            if variant.backward:
                part, keys_left, factor = _weigh(q_tile, k_tile, gate_bwd, at, keys, dtype, variant, False)
                leaving = load_state(state_grads, row_bwd, chunk, chunks, segment_chunks, keys, values, variant)
                scores += part
                total += dot(keys_left, factor * leaving, dtype)
        total += dot(scores, load_tile(grad, at, values, variant.value_dim), dtype)
    else:
        for key in range(variant.key_blocks):
            columns = key_block(key, variant)
            if variant.forward:
                state_grad = load_state(state_grads, row_fwd, chunk, chunks, segment_chunks, columns, values, variant)
                total = _exact(q, k, grad, gate_fwd, state_grad, total, at, columns, values, variant, True)
            if variant.backward:
                state_grad = load_state(state_grads, row_bwd, chunk, chunks, segment_chunks, columns, values, variant)
                total = _exact(q, k, grad, gate_bwd, state_grad, total, at, columns, values, variant, False)
    store_tile(dv, at, values, variant.value_dim, total * scale)
