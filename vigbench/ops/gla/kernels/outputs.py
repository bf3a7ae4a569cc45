"""Pass 2: outputs of each chunk, from the states that enter it and the attention inside it.

With `adjoint`, k and q change places, the output's gradient takes that of v, and the gradients of the states that leave
a chunk that of the states: what is computed is the gradient of v. No product is turned around for it to be the operand
of the next one (`settings.py`): scores have keys in the rows from the start.

Both directions share one score matrix: its lower triangle has the forward gates, its upper one the backward gates,
the diagonal both (GLA, arXiv 2312.06635, section 4; ViG, arXiv 2405.18425, section 3.3).
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.features import load_feature_row, load_features
from vigbench.ops.gla.kernels.gates import load_log2_decay, load_log2_decays
from vigbench.ops.gla.kernels.states import load_entering, state_rows
from vigbench.ops.gla.kernels.sums import split_decay
from vigbench.ops.gla.kernels.tiles import dot, load_row, load_tile, place_of, put_row, store_tile
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import zeros, zeros_row


@triton.jit
def _least(gate_fwd, gate_bwd, at, keys, variant: tl.constexpr):
    """The smallest sum of log-decays over a chunk, of each of these channels."""
    least = zeros_row(variant.key_block)
    if variant.forward:
        least = tl.minimum(least, tl.sum(load_log2_decays(gate_fwd, at, keys, variant), 0))
    if variant.backward:
        least = tl.minimum(least, tl.sum(load_log2_decays(gate_bwd, at, keys, variant), 0))
    return least


@triton.jit
def is_mild_block(gate_fwd, gate_bwd, at, keys, variant: tl.constexpr):
    """`is_mild` for some key channels alone, where nothing else depends on the others."""
    return tl.min(_least(gate_fwd, gate_bwd, at, keys, variant)) >= -variant.mild


@triton.jit
def is_mild(gate_fwd, gate_bwd, at, g_fwd, g_bwd, variant: tl.constexpr):
    """Whether factored exponentials of a chunk's decays stay in range; other chunks are computed token by token.

    `g_fwd` and `g_bwd`: the log2-decays of the first block of keys, which are not computed twice.
    """
    least = tl.minimum(tl.sum(g_fwd, 0), tl.sum(g_bwd, 0))
    for block in range(1, variant.key_blocks):
        least = tl.minimum(least, _least(gate_fwd, gate_bwd, at, key_block(block, variant), variant))
    return tl.min(least) >= -variant.mild


@triton.jit
def _weigh(
    q_tile, k_tile, g, at, dtype: tl.constexpr, variant: tl.constexpr, to_end: tl.constexpr,
    adjoint: tl.constexpr,
):  # fmt: skip
    """One direction's scores of the pairs of tokens that it has, a token with itself included.

    Also the rows that they are a product of, and the factor that these lack on their way from a state.
    """
    arrive, leave, half = split_decay(g, variant.chunk, dtype, to_end)
    if adjoint:
        rows, columns = (q_tile * leave).to(dtype), (k_tile * arrive).to(dtype)
    else:
        rows, columns = (q_tile * arrive).to(dtype), (k_tile * leave).to(dtype)
    scores = dot(rows, tl.trans(columns), dtype)
    if to_end != adjoint:
        scores = tl.where(at.rows[:, None] < at.rows[None, :], 0.0, scores)
    else:
        scores = tl.where(at.rows[:, None] > at.rows[None, :], 0.0, scores)
    return scores, rows, tl.exp2(half)[:, None]


@triton.jit
def _exact(
    q, k, v, gate, state, out, at, keys, values, variant: tl.constexpr, to_end: tl.constexpr, adjoint: tl.constexpr
):  # fmt: skip
    """`out` plus one direction's outputs, token by token. A state decays before a token, its gradient behind it."""
    for n in range(variant.chunk):
        row = n if to_end != adjoint else variant.chunk - 1 - n
        decay = tl.exp2(load_log2_decay(gate, at, row, keys, variant))[:, None]
        written = (
            load_feature_row(k, at, row, keys, variant)[:, None]
            * load_row(v, at, row, values, variant.value_dim)[None, :]
        )
        state = state + written if adjoint else decay * state + written
        out = put_row(out, at, row, tl.sum(load_feature_row(q, at, row, keys, variant)[:, None] * state, 0))
        if adjoint:
            state = decay * state
    return out


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def chunk_outputs(
    q, k, v, gate_fwd, gate_bwd, states, out, length, segment_chunks, scale,
    heads: tl.constexpr, variant: tl.constexpr, adjoint: tl.constexpr,
):  # fmt: skip
    """Grid: (heads * value blocks, chunks, batch)."""
    head, block = tl.program_id(0) // variant.value_blocks, tl.program_id(0) % variant.value_blocks
    values = value_block(block, variant)
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    row_fwd, row_bwd = state_rows(batch, head, tl.num_programs(2), heads, variant)
    at = place_of(batch, head, chunk, length, variant)
    dtype: tl.constexpr = v.data.dtype.element_ty
    o = zeros(variant.chunk, variant.value_block)
    g_fwd, g_bwd = zeros(variant.chunk, variant.key_block), zeros(variant.chunk, variant.key_block)
    if variant.forward:
        g_fwd = load_log2_decays(gate_fwd, at, key_block(0, variant), variant)
    if variant.backward:
        g_bwd = load_log2_decays(gate_bwd, at, key_block(0, variant), variant)
    if is_mild(gate_fwd, gate_bwd, at, g_fwd, g_bwd, variant):
        scores = zeros(variant.chunk, variant.chunk)
        for key in range(variant.key_blocks):
            keys = key_block(key, variant)
            q_tile, k_tile = load_features(q, at, keys, variant), load_features(k, at, keys, variant)
            if variant.forward:
                if variant.key_blocks > 1:
                    g_fwd = load_log2_decays(gate_fwd, at, keys, variant)
                part, rows, factor = _weigh(q_tile, k_tile, g_fwd, at, dtype, variant, True, adjoint)
                state = load_entering(states, row_fwd, chunk, chunks, segment_chunks, keys, values, variant)
                scores += part
                o += dot(rows, factor * state, dtype)
            if variant.backward:
                if variant.key_blocks > 1:
                    g_bwd = load_log2_decays(gate_bwd, at, keys, variant)
                part, rows, factor = _weigh(q_tile, k_tile, g_bwd, at, dtype, variant, False, adjoint)
                state = load_entering(states, row_bwd, chunk, chunks, segment_chunks, keys, values, variant)
                scores += part
                o += dot(rows, factor * state, dtype)
        o += dot(scores, load_tile(v, at, values, variant.value_dim), dtype)
    else:
        for key in range(variant.key_blocks):
            columns = key_block(key, variant)
            if variant.forward:
                entering = load_entering(states, row_fwd, chunk, chunks, segment_chunks, columns, values, variant)
                o = _exact(q, k, v, gate_fwd, entering, o, at, columns, values, variant, True, adjoint)
            if variant.backward:
                entering = load_entering(states, row_bwd, chunk, chunks, segment_chunks, columns, values, variant)
                o = _exact(q, k, v, gate_bwd, entering, o, at, columns, values, variant, False, adjoint)
    store_tile(out, at, values, variant.value_dim, o * scale)
