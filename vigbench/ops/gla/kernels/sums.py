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
def sums_of(g, seen, dtype: tl.constexpr):
    """Sums over the tokens seen, (rows, channels): a product, where `cumsum` goes through memory between warps.

    What rounding to half precision leaves is multiplied, too, so that log-decays keep twice its digits.
    """
    g = tl.maximum(g, SMALLEST)
    high = g.to(dtype)
    low = (g - high.to(tl.float32)).to(dtype)
    return tl.dot(seen.to(dtype), low, tl.dot(seen.to(dtype), high))


@triton.jit
def turned(x):
    """x transposed, for a product: a sum over a dimension of one ends the layout that a product has given x.

    Compilers get results of products wrong that are turned around as they lie in registers (`settings.py`).
    """
    return tl.trans(tl.reshape(tl.cumsum(x[:, :, None], 2), x.shape))
