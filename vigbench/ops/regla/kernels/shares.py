"""What maxima take from the gradients of what they were found in: the sum of the gradients of all that they were
subtracted from, shared equally by the elements that are the maximum.

A query's gradients are summed over its channels at once; a head's keys in blocks of tokens first.
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.tiles import load_tile, store_tile
from vigbench.ops.regla.kernels.maxima import at_first_channel, place_of_block


@triton.jit
def _is_largest(x, maxima, at, channels, key_dim: tl.constexpr):
    """1.0 where an element is the maximum."""
    largest = tl.load(at_first_channel(maxima, at), mask=at.valid, other=0.0)
    inside = at.valid[:, None] & (channels < key_dim)[None, :]
    x_tile = load_tile(x, at, channels, key_dim).to(tl.float32)
    return tl.where(inside & (x_tile == largest[:, None]), 1.0, 0.0)


@triton.jit(do_not_specialize=["length"])
def block_shares(
    q, k, of_queries, of_heads, dq, dk, of_blocks, length, heads: tl.constexpr, key_dim: tl.constexpr,
    key_block: tl.constexpr, rows: tl.constexpr,
):  # fmt: skip
    """Takes the shares from the gradients of queries; sums up those of keys. Grid: (heads, blocks, batch).

    `of_blocks`: (batch, heads, blocks, 2), the sum of a block's gradients of keys, and how many keys are the maximum.
    """
    at = place_of_block(rows, length)
    channels = tl.arange(0, key_block)
    largest = _is_largest(q, of_queries, at, channels, key_dim)
    grad = load_tile(dq, at, channels, key_dim).to(tl.float32)
    share = tl.sum(grad, 1) / tl.maximum(tl.sum(largest, 1), 1.0)  # a token that is not there has no maximum
    store_tile(dq, at, channels, key_dim, grad - largest * share[:, None])
    block = (tl.program_id(2) * heads + tl.program_id(0)) * tl.num_programs(1) + tl.program_id(1)
    tl.store(of_blocks + 2 * block, tl.sum(tl.sum(load_tile(dk, at, channels, key_dim).to(tl.float32), 1), 0))
    tl.store(of_blocks + 2 * block + 1, tl.sum(tl.sum(_is_largest(k, of_heads, at, channels, key_dim), 1), 0))


@triton.jit(do_not_specialize=["length"])
def key_shares(
    k, of_heads, dk, of_blocks, length, heads: tl.constexpr, key_dim: tl.constexpr, key_block: tl.constexpr,
    rows: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """Takes the shares from the gradients of keys. Grid: (heads, blocks, batch)."""
    blocks = tl.num_programs(1)
    first_block = of_blocks + 2 * (tl.program_id(2) * heads + tl.program_id(0)) * blocks
    total, count = tl.zeros((width,), dtype=tl.float32), tl.zeros((width,), dtype=tl.float32)
    for first in range(0, blocks, width):
        columns = first + tl.arange(0, width)
        total += tl.load(first_block + 2 * columns, mask=columns < blocks, other=0.0)
        count += tl.load(first_block + 2 * columns + 1, mask=columns < blocks, other=0.0)
    at = place_of_block(rows, length)
    channels = tl.arange(0, key_block)
    largest = _is_largest(k, of_heads, at, channels, key_dim)
    share = tl.sum(total, 0) / tl.sum(count, 0)
    grad = load_tile(dk, at, channels, key_dim).to(tl.float32)
    store_tile(dk, at, channels, key_dim, grad - largest * share)
