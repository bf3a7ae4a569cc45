"""Decays inside a chunk, from sums of its log-decays: between two tokens, and between a token and the chunk's ends.

A sum over the tokens between two others is a difference of two sums here, and exact all the same: log-decays are split
into multiples of 1/512, whose sums float32 holds to the last digit, and rests so small that their rounding is nothing.
Log-decays are in base 2, and end at one whose power is 0 in float32: so -inf is as finite as any other.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.kernel_math import LOG2_E

SMALLEST = tl.constexpr(-160.0)  # 2^-160 is 0 in float32; 128 of them, in 512ths, are below 2^24
PARTS_OF_ONE = tl.constexpr(512.0)


class ScalarGate(NamedTuple):
    """Log-decays of one direction, (batch, length, heads), and their strides in bytes: 0 where all share one.

    In elements that of heads could be 1, which Triton up to 3.6 does not take inside a tuple.
    """

    data: Tensor
    batch: int
    token: int
    head: int


class DecaySums(NamedTuple):
    """Sums of log2-decays in one direction, from where it enters the chunk up to and including each token, (rows).

    `high` in whole 512ths, `low` the rest; `all_high` and `all_low`: of the whole chunk.
    """

    high: Any
    low: Any
    all_high: Any
    all_low: Any


def gate_view(g: Tensor) -> ScalarGate:
    """Log-decays as kernels take them, where they are; strides of dimensions of one element are never used."""
    strides = (stride * g.itemsize if size > 1 else 0 for stride, size in zip(g.stride(), g.shape, strict=True))
    return ScalarGate(g, *strides)


@triton.jit
def decay_sums(gate, at, to_end: tl.constexpr):
    """Of a chunk in one direction."""
    size: tl.constexpr = gate.data.dtype.element_ty.primitive_bitwidth // 8
    first = gate.data + (at.batch * gate.batch + at.start * gate.token + at.head * gate.head) // size
    g = tl.load(first + at.rows * gate.token // size, mask=at.valid, other=0.0).to(tl.float32) * LOG2_E
    g = tl.where(g < SMALLEST, SMALLEST, g)  # NaN stays
    high = tl.floor(g * PARTS_OF_ONE) * (1.0 / PARTS_OF_ONE)
    low = g - high
    return DecaySums(
        tl.cumsum(high, 0, reverse=not to_end), tl.cumsum(low, 0, reverse=not to_end), tl.sum(high, 0), tl.sum(low, 0)
    )


@triton.jit
def arrival(sums):
    """Decay of a state from where it enters the chunk to its use at each token, (rows)."""
    return tl.exp2(sums.high + sums.low)


@triton.jit
def departure(sums):
    """Decay of what each token writes until the state leaves the chunk, (rows)."""
    return tl.exp2((sums.all_high - sums.high) + (sums.all_low - sums.low))


@triton.jit
def passage(sums):
    """Decay of a state through the whole chunk."""
    return tl.exp2(sums.all_high + sums.all_low)


@triton.jit
def _between(sums, turned: tl.constexpr):
    """Sums of log2-decays from key to query, (queries, keys), or `turned` (keys, queries)."""
    difference = (sums.high[:, None] - sums.high[None, :]) + (sums.low[:, None] - sums.low[None, :])
    return -difference if turned else difference


@triton.jit
def behind(rows, turned: tl.constexpr):
    """By how many tokens the query is behind the key, (queries, keys), or `turned` (keys, queries)."""
    return rows[None, :] - rows[:, None] if turned else rows[:, None] - rows[None, :]


@triton.jit
def pair_decays(sums_fwd, sums_bwd, rows, variant: tl.constexpr, turned: tl.constexpr):
    """Decays from key to query in the direction that meets the key first: (queries, keys), or `turned` (keys, queries).

    A token's own is 1 in each direction. One exponential a pair serves both: what a direction does not meet is masked
    before.
    """
    distance = behind(rows, turned)
    if variant.forward and variant.backward:
        between = tl.where(distance >= 0, _between(sums_fwd, turned), _between(sums_bwd, turned))
        decays = tl.where(distance == 0, 2.0, tl.exp2(between))
    elif variant.forward:
        decays = tl.exp2(tl.where(distance >= 0, _between(sums_fwd, turned), -float("inf")))
    else:
        decays = tl.exp2(tl.where(distance <= 0, _between(sums_bwd, turned), -float("inf")))
    return decays
