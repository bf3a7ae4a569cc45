"""Sums of log-decays over the tokens of a chunk."""

import triton
import triton.language as tl

SMALLEST = tl.constexpr(-1000.0)  # as a log2-decay it is 0, and a product with it is finite, unlike with -inf


@triton.jit
def tokens_seen(rows: tl.constexpr, after: tl.constexpr, strict: tl.constexpr):
    """(rows, rows), 1.0 where the token of a column is behind (`after`), or before, that of a row, or is it."""
    row, column = tl.arange(0, rows)[:, None], tl.arange(0, rows)[None, :]
    by: tl.constexpr = 1 if strict else 0
    return (column >= row + by).to(tl.float32) if after else (column <= row - by).to(tl.float32)


@triton.jit
def sums_of(g, weights, dtype: tl.constexpr):
    """Sums over tokens, (rows, channels): a product, where `cumsum` goes through memory between warps.

    Log-decays are finite, and keep twice the digits of half precision: what rounding leaves is multiplied, too. Weights
    are (rows, tokens).
    """
    half: tl.constexpr = 0x8000 if dtype == tl.bfloat16 else 0x1000  # of the last digit that is kept
    bits = g.to(tl.int32, bitcast=True) + half  # by hand: the unit of exponentials is what converts single numbers
    high = (bits & -2 * half).to(tl.float32, bitcast=True)
    low = (g - high).to(dtype)
    return tl.dot(weights.to(dtype), low, tl.dot(weights.to(dtype), high.to(dtype)))


@triton.jit
def split_decay(g, rows: tl.constexpr, dtype: tl.constexpr, to_end: tl.constexpr):
    """Factors on queries and on keys whose product is the decay from key to query, and half the chunk's log-decay.

    Both are anchored at half the decay of the chunk, which halves the range that they need.
    """
    half = 0.5 * tl.sum(g, 0)
    if dtype == tl.float32:
        arrival = tl.cumsum(g, 0, reverse=not to_end) - half[None, :]
    else:
        arrival = sums_of(g, tokens_seen(rows, not to_end, False) - 0.5, dtype)  # less half of all in the same product
    return tl.exp2(arrival), tl.exp2(-arrival), half
