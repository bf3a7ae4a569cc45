"""The pass over the keys: logits of each chunk, from the states that enter it and the attention inside it; softmax.

In gated linear attention's words, whose states and tiles these are, slots are key channels, s is k, and k is v. The
gate is on what is read: a logit is q_i . (sum over j of k_j s_j exp(decay from j to i)), the form that the gradient of
a query has there (`vigbench.ops.gla.kernels.key_gradients`).
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.gates import load_log2_decay, load_log2_decays
from vigbench.ops.gla.kernels.states import load_entering
from vigbench.ops.gla.kernels.sums import split_decay
from vigbench.ops.gla.kernels.tiles import dot, load_row, load_tile, place_of, put_row, store_tile
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import LOG2_E, zeros


@triton.jit
def _factored(
    q, k, s, g, states, row, chunk, chunks, segment_chunks, at, slots, variant: tl.constexpr, to_end: tl.constexpr
):  # fmt: skip
    """Logits of a chunk with mild decays, by matrix products."""
    dtype: tl.constexpr = k.data.dtype.element_ty
    arrive, leave, half = split_decay(g, variant.chunk, dtype, to_end)
    factor = tl.exp2(half)[:, None]
    scores = zeros(variant.chunk, variant.chunk)
    logits = zeros(variant.chunk, variant.key_block)
    for block in range(variant.value_blocks):
        channels = value_block(block, variant)
        q_tile, k_tile = load_tile(q, at, channels, variant.value_dim), load_tile(k, at, channels, variant.value_dim)
        scores += dot(q_tile, tl.trans(k_tile), dtype)
        state = factor * load_entering(states, row, chunk, chunks, segment_chunks, slots, channels, variant)
        logits += dot(q_tile, tl.trans(state.to(dtype)), dtype)
    behind = (at.rows[:, None] - at.rows[None, :]) if to_end else (at.rows[None, :] - at.rows[:, None])
    written = load_tile(s, at, slots, variant.key_dim) * leave
    logits += dot(tl.where(behind >= 0, scores, 0.0), written, dtype)
    return logits * arrive


@triton.jit
def _exact(
    q, k, s, gate, states, row, chunk, chunks, segment_chunks, at, slots, variant: tl.constexpr, to_end: tl.constexpr
):  # fmt: skip
    """Logits of a chunk with any decays, token by token."""
    logits = zeros(variant.chunk, variant.key_block)
    for block in range(variant.value_blocks):
        channels = value_block(block, variant)
        state = load_entering(states, row, chunk, chunks, segment_chunks, slots, channels, variant)
        for n in range(variant.chunk):
            token = n if to_end else variant.chunk - 1 - n
            s_row, k_row = (
                load_row(s, at, token, slots, variant.key_dim),
                load_row(k, at, token, channels, variant.value_dim),
            )
            state = tl.exp2(load_log2_decay(gate, at, token, slots, variant))[:, None] * state
            state += s_row[:, None] * k_row[None, :]
            q_row = load_row(q, at, token, channels, variant.value_dim)
            logits = put_row(logits, at, token, tl.sum(state * q_row[None, :], 1))
    return logits


@triton.jit
def _softmax(logits, slots, variant: tl.constexpr):
    """Over the slots of each token."""
    logits = tl.where((slots < variant.key_dim)[None, :], logits * LOG2_E, float("-inf"))
    weights = tl.exp2(logits - tl.max(logits, 1)[:, None])
    return weights / tl.sum(weights, 1)[:, None]


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def slot_probabilities(
    q, k, s, gate, states, out, length, segment_chunks, scale, heads: tl.constexpr, variant: tl.constexpr
):  # fmt: skip
    """Of one direction; logits where one program has not all slots. Grid: (heads * blocks of slots, chunks, batch)."""
    head, block = tl.program_id(0) // variant.key_blocks, tl.program_id(0) % variant.key_blocks
    slots = key_block(block, variant)
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    at = place_of(batch, head, chunk, length, variant)
    row = batch * heads + head
    g = load_log2_decays(gate, at, slots, variant)
    to_end: tl.constexpr = variant.forward
    if tl.min(tl.sum(g, 0)) >= -variant.mild:
        logits = _factored(
            q, k, s, g, states, row, chunk, chunks, segment_chunks, at, slots, variant, to_end
        )  # fmt: skip
    else:
        logits = _exact(
            q, k, s, gate, states, row, chunk, chunks, segment_chunks, at, slots, variant, to_end
        )  # fmt: skip
    logits *= scale
    if variant.key_blocks == 1:
        logits = _softmax(logits, slots, variant)
    store_tile(out, at, slots, variant.key_dim, logits)
