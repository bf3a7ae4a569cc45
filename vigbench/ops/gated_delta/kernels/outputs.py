"""Pass 3: outputs of each chunk, O = e^b Q S + (Q K^T * D) u; and, keys in the rows, the gradient of u from them."""

import triton
import triton.language as tl

from vigbench.ops.gated_delta.kernels.places import (
    chunk_number,
    delta_place,
    load_log2_gate,
    load_row_of,
    load_work,
    store_work,
)
from vigbench.ops.gated_delta.kernels.systems import pair_decay
from vigbench.ops.gla.kernels.state import at_state
from vigbench.ops.gla.kernels.tiles import add_tile, dot, load_tile
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import zeros


@triton.jit(do_not_specialize=["key_blocks", "length", "direction", "reverse"])
def delta_outputs(
    q, k, g, work, out, key_blocks, length, scale, direction, reverse,
    heads: tl.constexpr, variant: tl.constexpr, adds: tl.constexpr,
):  # fmt: skip
    """Of one direction, written or added. Grid: (heads * value blocks, chunks, batch).

    `key_blocks` only the run time knows: a loop that is unrolled would not fit the registers.
    """
    size: tl.constexpr = variant.chunk
    dtype: tl.constexpr = k.data.dtype.element_ty
    head, block = tl.program_id(0) // variant.value_blocks, tl.program_id(0) % variant.value_blocks
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    values = value_block(block, variant)
    at = delta_place(batch, head, chunk, length, reverse, variant)
    number = chunk_number(direction, batch, tl.num_programs(2), head, chunk, chunks, heads)
    o, scores = zeros(size, variant.value_block), zeros(size, size)
    for n in range(key_blocks):
        keys = key_block(n, variant)
        q_tile = load_tile(q, at, keys, variant.key_dim)
        pointers, mask = at_state(work.states, number, keys, values, variant, False)
        o += dot(q_tile, tl.load(pointers, mask=mask, other=0.0), dtype)
        scores += dot(q_tile, tl.trans(load_tile(k, at, keys, variant.key_dim)), dtype)
    o *= load_row_of(work.arrive, number, size)[:, None]
    scores *= pair_decay(load_log2_gate(g, at, reverse, heads), size, False)
    o += dot(scores, load_work(work.u, number, values, variant.value_dim, size), dtype)
    add_tile(out, at, values, variant.value_dim, o * scale, adds)


@triton.jit(do_not_specialize=["length", "first_direction"])
def written_gradients(q, k, g, grad, work, length, first_direction, heads: tl.constexpr, variant: tl.constexpr):
    """What is written gets from outputs of its own chunk. Grid: (value blocks * heads * directions, chunks, batch)."""
    size: tl.constexpr = variant.chunk
    dtype: tl.constexpr = k.data.dtype.element_ty
    block, rest = tl.program_id(0) % variant.value_blocks, tl.program_id(0) // variant.value_blocks
    head, direction = rest % heads, rest // heads
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    values, reverse = value_block(block, variant), first_direction + direction
    at = delta_place(batch, head, chunk, length, reverse, variant)
    number = chunk_number(direction, batch, tl.num_programs(2), head, chunk, chunks, heads)
    scores = zeros(size, size)
    for n in range(variant.key_blocks):
        keys = key_block(n, variant)
        k_tile = load_tile(k, at, keys, variant.key_dim)
        scores += dot(k_tile, tl.trans(load_tile(q, at, keys, variant.key_dim)), dtype)
    scores *= pair_decay(load_log2_gate(g, at, reverse, heads), size, True)
    du = dot(scores, load_tile(grad, at, values, variant.value_dim), dtype)
    store_work(work.du, number, values, variant.value_dim, size, du)
