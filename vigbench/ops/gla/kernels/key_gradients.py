"""Backward, the gradients of q, k and the gates in each chunk, from the states and their gradients at its ends.

States and scores are computed anew: nothing but the inputs is kept from the forward pass. The gradient of a log-decay
is sum(state before the token * gradient of the state after it). From token to token it changes by q * dq and k * dk,
taken without the token's own term, which knows no decay and whose rounding would drown small gradients.
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.features import load_feature_row, load_features, store_feature_gradient
from vigbench.ops.gla.kernels.gates import load_log2_decay, load_log2_decays, store_gate_gradient
from vigbench.ops.gla.kernels.outputs import is_mild_block
from vigbench.ops.gla.kernels.states import load_entering, state_rows
from vigbench.ops.gla.kernels.sums import split_decay
from vigbench.ops.gla.kernels.tiles import dot, load_row, load_tile, place_of, put_row
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import zeros, zeros_row


@triton.jit
def _store_gate_gradient(
    q_tile, k_tile, dq, dk, beyond, gate, dg, at, keys, scale, variant: tl.constexpr, to_end: tl.constexpr
):
    """The gradient of one direction's log-decays, or logits.

    dq and dk lack the tokens' own terms; `beyond` is sum(state * gradient) where the direction leaves the chunk.
    """
    d_decay = beyond[None, :] + tl.cumsum(q_tile * dq - k_tile * dk, 0, reverse=to_end)
    store_gate_gradient(dg, d_decay * scale, gate, at, keys, variant)


@triton.jit
def _own(v, grad, at, variant: tl.constexpr):
    """What tokens' own scores get, (rows, 1): sum(v * grad), once for each direction."""
    own = zeros_row(variant.chunk)
    for block in range(variant.value_blocks):
        values = value_block(block, variant)
        v_tile = load_tile(v, at, values, variant.value_dim).to(tl.float32)
        own += tl.sum(v_tile * load_tile(grad, at, values, variant.value_dim).to(tl.float32), 1)
    return own[:, None] * (variant.forward + variant.backward)


@triton.jit
def _split_decay_of(direction, gate_fwd, gate_bwd, at, keys, dtype: tl.constexpr, variant: tl.constexpr):
    """`split_decay` of a direction that is known at run time."""
    if direction == 0:
        arrive, leave, half = split_decay(load_log2_decays(gate_fwd, at, keys, variant), variant.chunk, dtype, True)
    else:
        arrive, leave, half = split_decay(load_log2_decays(gate_bwd, at, keys, variant), variant.chunk, dtype, False)
    return arrive, leave, half


@triton.jit
def _factored(
    q, k, v, gate_fwd, gate_bwd, grad, states, state_grads, dq, dk, dg_fwd, dg_bwd, row_fwd, row_bwd,
    chunk, chunks, segment_chunks, first_direction, end_direction, at, keys, scale, variant: tl.constexpr,
):  # fmt: skip
    """A chunk with mild decays, by matrix products.

    Directions take turns in a loop whose ends only the run time knows: unrolled, they would not fit the registers.
    """
    dtype: tl.constexpr = v.data.dtype.element_ty
    d_scores = zeros(variant.chunk, variant.chunk)
    by_key = zeros(variant.chunk, variant.chunk)  # computed once more, not turned around (`settings.py`)
    for block in range(variant.value_blocks):
        values = value_block(block, variant)
        v_tile, grad_tile = load_tile(v, at, values, variant.value_dim), load_tile(grad, at, values, variant.value_dim)
        d_scores += dot(grad_tile, tl.trans(v_tile), dtype)
        by_key += dot(v_tile, tl.trans(grad_tile), dtype)
    own = _own(v, grad, at, variant)
    q_tile, k_tile = load_features(q, at, keys, variant), load_features(k, at, keys, variant)
    dq_tile, dk_tile = own * k_tile, own * q_tile
    for direction in range(first_direction, end_direction):
        row = row_fwd if direction == 0 else row_bwd
        arrive, leave, half = _split_decay_of(direction, gate_fwd, gate_bwd, at, keys, dtype, variant)
        distance = (at.rows[:, None] - at.rows[None, :]) * (1 - 2 * direction)
        dq_part = dot(tl.where(distance > 0, d_scores, 0.0), k_tile * leave, dtype)
        dk_part = zeros(variant.chunk, variant.key_block)
        beyond = zeros_row(variant.key_block)
        factor = tl.exp2(half)[:, None]
        for block in range(variant.value_blocks):
            values = value_block(block, variant)
            state = factor * load_entering(states, row, chunk, chunks, segment_chunks, keys, values, variant)
            dq_part += dot(load_tile(grad, at, values, variant.value_dim), tl.trans(state.to(dtype)), dtype)
            state_grad = factor * load_entering(state_grads, row, chunk, chunks, segment_chunks, keys, values, variant)
            beyond += tl.sum(state * state_grad, 1)
            dk_part += dot(load_tile(v, at, values, variant.value_dim), tl.trans(state_grad.to(dtype)), dtype)
        dq_part *= arrive
        dk_part *= leave
        beyond += tl.sum(k_tile * dk_part, 0)
        dk_part += leave * dot(tl.where(distance < 0, by_key, 0.0), q_tile * arrive, dtype)
        dq_tile += dq_part
        dk_tile += dk_part
        if direction == 0:
            _store_gate_gradient(
                q_tile, k_tile, dq_part, dk_part, beyond, gate_fwd, dg_fwd, at, keys, scale, variant, True
            )
        else:
            _store_gate_gradient(
                q_tile, k_tile, dq_part, dk_part, beyond, gate_bwd, dg_bwd, at, keys, scale, variant, False
            )
    store_feature_gradient(dq, dq_tile * scale, q, at, keys, variant, False)
    store_feature_gradient(dk, dk_tile * scale, k, at, keys, variant, False)


@triton.jit
def _walk_states(k, v, grad, gate, state, dq, at, keys, values, variant: tl.constexpr, to_end: tl.constexpr):
    """Along one direction, token by token: `dq` plus its share without the tokens' own terms, and the last state."""
    for n in range(variant.chunk):
        row = n if to_end else variant.chunk - 1 - n
        state = tl.exp2(load_log2_decay(gate, at, row, keys, variant))[:, None] * state
        dq = put_row(dq, at, row, tl.sum(state * load_row(grad, at, row, values, variant.value_dim)[None, :], 1))
        k_row, v_row = load_feature_row(k, at, row, keys, variant), load_row(v, at, row, values, variant.value_dim)
        state += k_row[:, None] * v_row[None, :]
    return dq, state


@triton.jit
def _walk_gradients(q, v, grad, gate, state_grad, dk, at, keys, values, variant: tl.constexpr, to_end: tl.constexpr):
    """Against one direction: `dk` plus its share without the tokens' own terms."""
    for n in range(variant.chunk):
        row = variant.chunk - 1 - n if to_end else n
        dk = put_row(dk, at, row, tl.sum(state_grad * load_row(v, at, row, values, variant.value_dim)[None, :], 1))
        q_row, grad_row = (
            load_feature_row(q, at, row, keys, variant),
            load_row(grad, at, row, values, variant.value_dim),
        )
        state_grad += q_row[:, None] * grad_row[None, :]
        state_grad = tl.exp2(load_log2_decay(gate, at, row, keys, variant))[:, None] * state_grad
    return dk


@triton.jit
def _exact_direction(
    q, k, v, grad, gate, dg, states, state_grads, row, chunk, chunks, segment_chunks, at, keys, scale,
    variant: tl.constexpr, to_end: tl.constexpr,
):  # fmt: skip
    """One direction's shares of dq and dk, without the tokens' own terms; stores the gradient of its gates."""
    dq = zeros(variant.chunk, variant.key_block)
    dk = dq
    beyond = zeros_row(variant.key_block)
    for block in range(variant.value_blocks):
        values = value_block(block, variant)
        state = load_entering(states, row, chunk, chunks, segment_chunks, keys, values, variant)
        state_grad = load_entering(state_grads, row, chunk, chunks, segment_chunks, keys, values, variant)
        dq, state = _walk_states(k, v, grad, gate, state, dq, at, keys, values, variant, to_end)
        beyond += tl.sum(state * state_grad, 1)
        dk = _walk_gradients(q, v, grad, gate, state_grad, dk, at, keys, values, variant, to_end)
    q_tile, k_tile = load_features(q, at, keys, variant), load_features(k, at, keys, variant)
    _store_gate_gradient(q_tile, k_tile, dq, dk, beyond, gate, dg, at, keys, scale, variant, to_end)
    return dq, dk


@triton.jit
def _exact(
    q, k, v, gate_fwd, gate_bwd, grad, states, state_grads, dq, dk, dg_fwd, dg_bwd, row_fwd, row_bwd,
    chunk, chunks, segment_chunks, at, keys, scale, variant: tl.constexpr,
):  # fmt: skip
    """A chunk with any decays, token by token."""
    own = _own(v, grad, at, variant)
    dq_tile = own * load_features(k, at, keys, variant)
    dk_tile = own * load_features(q, at, keys, variant)
    if variant.forward:
        dq_part, dk_part = _exact_direction(
            q, k, v, grad, gate_fwd, dg_fwd, states, state_grads, row_fwd, chunk, chunks, segment_chunks, at, keys,
            scale, variant, True,
        )  # fmt: skip
        dq_tile += dq_part
        dk_tile += dk_part
    if variant.backward:
        dq_part, dk_part = _exact_direction(
            q, k, v, grad, gate_bwd, dg_bwd, states, state_grads, row_bwd, chunk, chunks, segment_chunks, at, keys,
            scale, variant, False,
        )  # fmt: skip
        dq_tile += dq_part
        dk_tile += dk_part
    store_feature_gradient(dq, dq_tile * scale, q, at, keys, variant, False)
    store_feature_gradient(dk, dk_tile * scale, k, at, keys, variant, False)


@triton.jit(do_not_specialize=["length", "segment_chunks", "first_direction", "end_direction"])
def chunk_key_gradients(
    q, k, v, gate_fwd, gate_bwd, grad, states, state_grads, dq, dk, dg_fwd, dg_bwd, length, segment_chunks,
    first_direction, end_direction, scale, heads: tl.constexpr, variant: tl.constexpr,
):  # fmt: skip
    """Grid: (heads * key blocks, chunks, batch)."""
    head, block = tl.program_id(0) // variant.key_blocks, tl.program_id(0) % variant.key_blocks
    keys = key_block(block, variant)
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    row_fwd, row_bwd = state_rows(batch, head, tl.num_programs(2), heads, variant)
    at = place_of(batch, head, chunk, length, variant)
    if is_mild_block(gate_fwd, gate_bwd, at, keys, variant):
        _factored(
            q, k, v, gate_fwd, gate_bwd, grad, states, state_grads, dq, dk, dg_fwd, dg_bwd, row_fwd, row_bwd,
            chunk, chunks, segment_chunks, first_direction, end_direction, at, keys, scale, variant,
        )  # fmt: skip
    else:
        _exact(
            q, k, v, gate_fwd, gate_bwd, grad, states, state_grads, dq, dk, dg_fwd, dg_bwd, row_fwd, row_bwd,
            chunk, chunks, segment_chunks, at, keys, scale, variant,
        )  # fmt: skip
