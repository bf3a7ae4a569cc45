"""Weighted sums over the tokens on one side, from chunk to chunk: how they are added to, kept in memory and handed on.

A weight's logarithm is kept in parts: a key, w times a place, and a bonus. Differences of the parts are exact, or as
small as the parts are, where one number would lose the digits of small decays beside large keys or distances.
Places count from the token just before a chunk (for sums over tokens that follow, back from the one just after it).
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

EMPTY = tl.constexpr(-1e38)  # key of nothing: finite, as is the sum of two, so that no difference is NaN
WITHOUT_BONUS, WITH_BONUS = tl.constexpr(4), tl.constexpr(5)  # parts in memory of sums of values, of gradients


class Sums(NamedTuple):
    """Two sums whose weights are relative to the largest one, exp(key + w place + bonus)."""

    key: Any
    place: Any
    bonus: Any
    first: Any
    second: Any


class BiwkvPlace(NamedTuple):
    """Where a program works: a chunk of a sequence, and some channels."""

    batch: Any
    chunk: Any
    chunks: Any
    batches: Any
    channels: Any
    valid: Any
    dim: Any


@triton.jit
def place_of(chunk, chunks, batch, batches, dim, block: tl.constexpr):
    """The program's channels are those of its second number in the grid."""
    channels = tl.program_id(1) * block + tl.arange(0, block)
    return BiwkvPlace(batch.to(tl.int64), chunk, chunks, batches, channels, channels < dim, dim)


@triton.jit
def load_row(x, at):
    """(channels) of w or u in float32."""
    return tl.load(x + at.channels, mask=at.valid, other=0.0).to(tl.float32)


@triton.jit
def channels_if(exists, at):
    """The mask of the channels there are, and of none unless `exists`: a comparison, as the interpreter's `&` fails."""
    return at.channels < tl.where(exists, at.dim, 0)


@triton.jit
def load_token(x, batch_stride, token_stride, token, length, at, other: tl.constexpr):
    """The channels of a token in float32; `other` after the last token."""
    pointers = x + at.batch * batch_stride + token.to(tl.int64) * token_stride + at.channels
    mask = channels_if(token < length, at)
    return tl.where(mask, tl.load(pointers, mask=mask, other=0.0).to(tl.float32), other)  # float16 has no EMPTY


@triton.jit
def store_token(x, token, length, at, values):
    """Write a token of a contiguous tensor."""
    pointers = x + (at.batch * length + token) * at.dim + at.channels
    tl.store(pointers, values.to(x.dtype.element_ty), mask=channels_if(token < length, at))


@triton.jit
def no_sums(block: tl.constexpr):
    """Of no token at all."""
    zeros = tl.zeros((block,), dtype=tl.float32)
    return Sums(zeros + EMPTY, zeros, zeros, zeros, zeros)


@triton.jit
def add(sums, more, decay):
    """Sums of the tokens of both."""
    gap = (more.key - sums.key) + (decay * (more.place - sums.place) + (more.bonus - sums.bonus))
    factor = tl.exp(-tl.abs(gap))
    larger = gap > 0.0
    old, new = tl.where(larger, factor, 1.0), tl.where(larger, 1.0, factor)
    return Sums(
        tl.where(larger, more.key, sums.key),
        tl.where(larger, more.place, sums.place),
        tl.where(larger, more.bonus, sums.bonus),
        old * sums.first + new * more.first,
        old * sums.second + new * more.second,
    )


@triton.jit
def add_value(sums, key, place, value, decay):
    """`sums` of values and of 1, and one more token."""
    return add(sums, Sums(key, tl.zeros_like(key) + place, 0.0, value, 1.0), decay)


@triton.jit
def named(sums):
    """Sums taken from a tuple of them: up to Triton 3.5 those have lost their names."""
    return Sums(sums[0], sums[1], sums[2], sums[3], sums[4])


@triton.jit
def moved(sums, places):
    """The same sums, `places` further away."""
    return Sums(sums.key, sums.place + places, sums.bonus, sums.first, sums.second)


@triton.jit
def _pointers(data, at, side, part: tl.constexpr, parts: tl.constexpr):
    row = ((side * parts + part) * at.batches + at.batch) * at.chunks + at.chunk
    return data + row * at.dim + at.channels


@triton.jit
def load_sums(data, at, side, parts: tl.constexpr):
    """What enters a chunk, of (2 sides, parts, batch, chunks, channels): from the tokens before or after it."""
    key = tl.load(_pointers(data, at, side, 0, parts), mask=at.valid, other=EMPTY)
    place = tl.load(_pointers(data, at, side, 1, parts), mask=at.valid, other=0.0)
    first = tl.load(_pointers(data, at, side, 2, parts), mask=at.valid, other=0.0)
    second = tl.load(_pointers(data, at, side, 3, parts), mask=at.valid, other=0.0)
    bonus = tl.zeros_like(key)
    if parts == WITH_BONUS:
        bonus = tl.load(_pointers(data, at, side, 4, parts), mask=at.valid, other=0.0)
    return Sums(key, place, bonus, first, second)


@triton.jit
def store_sums(data, at, side, sums, parts: tl.constexpr):
    """Write what `load_sums` would read."""
    tl.store(_pointers(data, at, side, 0, parts), sums.key, mask=at.valid)
    tl.store(_pointers(data, at, side, 1, parts), sums.place, mask=at.valid)
    tl.store(_pointers(data, at, side, 2, parts), sums.first, mask=at.valid)
    tl.store(_pointers(data, at, side, 3, parts), sums.second, mask=at.valid)
    if parts == WITH_BONUS:
        tl.store(_pointers(data, at, side, 4, parts), sums.bonus, mask=at.valid)
