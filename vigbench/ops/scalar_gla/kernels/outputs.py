"""Pass 2: outputs of each chunk, from the states that enter it and the attention inside it.

With `adjoint`, k and q change places, the output's gradient takes that of v, and the gradients of the states that leave
a chunk that of the states: what is computed is the gradient of v. Scores have keys in the rows from the start.

Both directions share one score matrix Q K^T, times one matrix of decays: its lower triangle is the forward direction's,
its upper one the backward direction's, the diagonal counts in both (SSD, arXiv 2405.21060, section 6).
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.tiles import dot, load_tile, place_of, store_tile
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import zeros
from vigbench.ops.scalar_gla.kernels.decays import arrival, decay_sums, departure, pair_decays
from vigbench.ops.scalar_gla.kernels.states import direction_rows, grouped, load_chunk_state


@triton.jit(do_not_specialize=["length", "key_blocks"])
def scalar_outputs(
    q, k, v, gate_fwd, gate_bwd, states, out, length, key_blocks, scale,
    variant: tl.constexpr, adjoint: tl.constexpr,
):  # fmt: skip
    """Grid: (heads * value blocks, chunks, batch). Blocks of keys are counted at run time: unrolled, they spill."""
    head, values = (
        tl.program_id(0) // variant.value_blocks,
        value_block(tl.program_id(0) % variant.value_blocks, variant),
    )
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    row_fwd, row_bwd = direction_rows(batch, head, tl.num_programs(2), variant)
    at = place_of(batch, head, chunk, length, variant)
    shared = grouped(at, variant)
    dtype: tl.constexpr = v.data.dtype.element_ty
    scores = zeros(variant.chunk, variant.chunk)
    from_fwd = zeros(variant.chunk, variant.value_block)
    from_bwd = zeros(variant.chunk, variant.value_block)
    for block in range(key_blocks):
        keys = key_block(block, variant)
        q_tile, k_tile = load_tile(q, shared, keys, variant.key_dim), load_tile(k, shared, keys, variant.key_dim)
        scores += dot(q_tile, tl.trans(k_tile), dtype)
        if variant.forward:
            state = load_chunk_state(states, row_fwd, chunk, chunks, keys, values, variant)
            from_fwd += dot(q_tile, state, dtype)
        if variant.backward:
            state = load_chunk_state(states, row_bwd, chunk, chunks, keys, values, variant)
            from_bwd += dot(q_tile, state, dtype)
    sums_fwd = decay_sums(gate_fwd, at, True)
    sums_bwd = decay_sums(gate_bwd, at, False)
    scores *= pair_decays(sums_fwd, sums_bwd, at.rows, variant, adjoint)
    o = dot(scores, load_tile(v, at, values, variant.value_dim), dtype)
    if variant.forward:
        o += from_fwd * (departure(sums_fwd) if adjoint else arrival(sums_fwd))[:, None]
    if variant.backward:
        o += from_bwd * (departure(sums_bwd) if adjoint else arrival(sums_bwd))[:, None]
    store_tile(out, at, values, variant.value_dim, o * scale)
