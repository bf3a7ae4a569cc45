"""Pass 1: the triangular system inside each chunk, solved before it is known which state enters the chunk.

(I + A)^-1 on the chunk's tokens, with A = strictly lower(beta K K^T * D), gives W = (I + A)^-1 (beta e^b K) and
U = (I + A)^-1 (beta V) (arXiv 2412.06464, section 3.3). The inverse is computed and multiplied in float32.
"""

import triton
import triton.language as tl

from vigbench.ops.gated_delta.kernels.places import (
    chunk_number,
    delta_place,
    load_gate,
    load_log2_gate,
    store_work,
)
from vigbench.ops.gla.kernels.tiles import dot, load_tile
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import zeros

SOLVED = tl.constexpr(16)  # rows of a block on the diagonal that are solved one after the other


@triton.jit
def pair_decay(g, size: tl.constexpr, turned: tl.constexpr):
    """exp2 of the sum of `g` over the tokens after one, up to and including another, later one or itself; else zero.

    (later, earlier) or, if `turned`, (earlier, later). Sums of what is between, never differences: any decay is exact.
    """
    row, column = tl.arange(0, size)[:, None], tl.arange(0, size)[None, :]
    if turned:
        decay = tl.exp2(tl.cumsum(tl.where(column > row, g[None, :], 0.0), 1))
        return tl.where(column >= row, decay, 0.0)
    decay = tl.exp2(tl.cumsum(tl.where(row > column, g[:, None], 0.0), 0))
    return tl.where(row >= column, decay, 0.0)


@triton.jit
def inverse_of(lower, size: tl.constexpr):
    """(I + lower)^-1 of a strictly lower triangle.

    Blocks on the diagonal by forward substitution, all at once. With these inverted, T, and N = T * (the rest of
    lower), it is (I + N)^-1 T, and N to the power of the number of blocks is zero.
    """
    row, column = tl.arange(0, size)[:, None], tl.arange(0, size)[None, :]
    together = row // SOLVED == column // SOLVED
    within = tl.where(together, lower, 0.0)
    inverse = (row == column).to(tl.float32)
    for step in range(1, SOLVED):
        here = row % SOLVED == step
        factors = tl.sum(tl.where(here, within, 0.0), 0)
        known = tl.sum(factors[:, None] * inverse, 0)
        inverse -= tl.where(here & together, known[None, :], 0.0)
    if size > SOLVED:
        across = dot(inverse, lower - within, tl.float32)
        inverse -= dot(across, inverse, tl.float32)
        if size > 2 * SOLVED:
            inverse += dot(dot(across, across, tl.float32), inverse, tl.float32)
    return inverse


@triton.jit(do_not_specialize=["length", "first_direction"])
def chunk_systems(
    k, v, g, beta, work, length, first_direction,
    heads: tl.constexpr, variant: tl.constexpr, keeps_inverse: tl.constexpr,
):  # fmt: skip
    """Grid: (heads * directions, chunks, batch)."""
    size: tl.constexpr = variant.chunk
    head, direction = tl.program_id(0) % heads, tl.program_id(0) // heads
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    reverse = first_direction + direction
    at = delta_place(batch, head, chunk, length, reverse, variant)
    number = chunk_number(direction, batch, tl.num_programs(2), head, chunk, chunks, heads)
    log2_decay, strength = load_log2_gate(g, at, reverse, heads), load_gate(beta, at, reverse, heads)
    row, column = tl.arange(0, size)[:, None], tl.arange(0, size)[None, :]
    decay = pair_decay(log2_decay, size, False)
    arrive = tl.exp2(tl.cumsum(log2_decay, 0))
    gram = zeros(size, size)
    for block in range(variant.key_blocks):
        k_tile = load_tile(k, at, key_block(block, variant), variant.key_dim)
        gram += dot(k_tile, tl.trans(k_tile), v.data.dtype.element_ty)
    inverse = inverse_of(tl.where(row > column, strength[:, None] * gram * decay, 0.0), size)
    tl.store(work.arrive + number * size + tl.arange(0, size), arrive)
    tl.store(work.leave + number * size + tl.arange(0, size), tl.sum(tl.where(row == size - 1, decay, 0.0), 0))
    if keeps_inverse:
        store_work(work.inverse, number, tl.arange(0, size), size, size, inverse)
    dtype: tl.constexpr = v.data.dtype.element_ty
    for block in range(variant.key_blocks):
        keys = key_block(block, variant)
        weighted = (strength * arrive)[:, None] * load_tile(k, at, keys, variant.key_dim)
        store_work(work.w, number, keys, variant.key_dim, size, dot(inverse, weighted, dtype))
    for block in range(variant.value_blocks):
        values = value_block(block, variant)
        weighted = strength[:, None] * load_tile(v, at, values, variant.value_dim)
        store_work(work.u, number, values, variant.value_dim, size, dot(inverse, weighted, dtype))
