"""The maxima that ReGLA's features need: of each query's channels, of each head's keys over channels and tokens.

Tokens come in blocks; a block's largest key is one number of a head's.
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.tiles import GlaPlace, at_tile


@triton.jit
def place_of_block(rows: tl.constexpr, length):
    """The tokens of a program in a grid of (heads, blocks, batch)."""
    start = tl.program_id(1).to(tl.int64) * rows
    row = tl.arange(0, rows)
    valid = row < (length - start).to(tl.int32)
    return GlaPlace(tl.program_id(2).to(tl.int64), tl.program_id(0), start, length, row, valid)


@triton.jit
def _largest(x, at, channels, key_dim: tl.constexpr):
    """Of each token's channels, float32."""
    mask = at.valid[:, None] & (channels < key_dim)[None, :]
    return tl.max(tl.load(at_tile(x, at, channels), mask=mask, other=-float("inf")).to(tl.float32), 1)


@triton.jit
def at_first_channel(x, at):
    """Pointers to the first channel of each token."""
    return x.data + at.batch * x.batch + at.head * x.head + (at.start + at.rows) * x.token


@triton.jit(do_not_specialize=["length"])
def block_maxima(
    q, k, of_queries, of_blocks, length, heads: tl.constexpr, key_dim: tl.constexpr, key_block: tl.constexpr,
    rows: tl.constexpr,
):  # fmt: skip
    """Of each query, and of the keys in each block. Grid: (heads, blocks, batch).

    `of_queries`: (batch, length, heads, 2). `of_blocks`: (batch, heads, blocks).
    """
    at = place_of_block(rows, length)
    channels = tl.arange(0, key_block)
    tl.store(at_first_channel(of_queries, at), _largest(q, at, channels, key_dim), mask=at.valid)
    block = (tl.program_id(2) * heads + tl.program_id(0)) * tl.num_programs(1) + tl.program_id(1)
    tl.store(of_blocks + block, tl.max(_largest(k, at, channels, key_dim), 0))


@triton.jit(do_not_specialize=["blocks"])
def head_maxima(of_blocks, of_heads, blocks, width: tl.constexpr):
    """Of all keys of each head, (batch, 1, heads, 2). Grid: (batch * heads)."""
    row = tl.program_id(0)
    largest = tl.full((width,), -float("inf"), dtype=tl.float32)
    for first in range(0, blocks, width):
        columns = first + tl.arange(0, width)
        largest = tl.maximum(
            largest, tl.load(of_blocks + row * blocks + columns, mask=columns < blocks, other=-float("inf"))
        )
    tl.store(of_heads + 2 * row, tl.max(largest, 0))
