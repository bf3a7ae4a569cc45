"""Tensors as kernels see them: any strides, tiles of tokens by channels, products in the precision of the inputs."""

from typing import Any, NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.kernel_launch import in_place


class GlaView(NamedTuple):
    """A (batch, length, heads, dim) tensor and its strides in elements; that of dim is 1."""

    data: Tensor
    batch: int
    token: int
    head: int


class GlaPlace(NamedTuple):
    """Where a program works: tokens `start + rows` of one head; those that are not `valid` read as zero."""

    batch: Any
    head: Any
    start: Any
    length: Any
    rows: Any
    valid: Any


def view(x: Tensor) -> GlaView:
    """`x` as kernels take it, see `kernel_launch.in_place`."""
    x, strides = in_place(x)
    return GlaView(x, *strides)


@triton.jit
def place_of(batch, head, chunk, length, variant: tl.constexpr):
    """All tokens of a chunk; 64-bit where offsets may exceed 2^31 elements."""
    start, rows = chunk.to(tl.int64) * variant.chunk, tl.arange(0, variant.chunk)
    return GlaPlace(batch.to(tl.int64), head, start, length, rows, rows < (length - start).to(tl.int32))


@triton.jit
def at_tile(x, at, channels):
    """Pointers to (rows, channels)."""
    first = x.data + at.batch * x.batch + at.head * x.head + at.start * x.token
    return first + at.rows[:, None] * x.token + channels[None, :]


@triton.jit
def load_tile(x, at, channels, dim: tl.constexpr):
    """(rows, channels) as stored; zero where a channel is not below `dim`."""
    return tl.load(at_tile(x, at, channels), mask=at.valid[:, None] & (channels < dim)[None, :], other=0.0)


@triton.jit
def store_tile(x, at, channels, dim: tl.constexpr, values):
    """Write `values` where `load_tile` would read."""
    mask = at.valid[:, None] & (channels < dim)[None, :]
    tl.store(at_tile(x, at, channels), values.to(x.data.dtype.element_ty), mask=mask)


@triton.jit
def load_row(x, at, row, channels, dim: tl.constexpr):
    """The channels of token `start + row` in float32, zero beyond the sequence."""
    first = x.data + at.batch * x.batch + at.head * x.head + at.start * x.token
    mask = channels < tl.where(row < (at.length - at.start).to(tl.int32), dim, 0)
    return tl.load(first + (row * x.token + channels), mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store_row(x, at, row, channels, dim: tl.constexpr, values):
    """Write `values` where `load_row` would read."""
    first = x.data + at.batch * x.batch + at.head * x.head + at.start * x.token
    mask = channels < tl.where(row < (at.length - at.start).to(tl.int32), dim, 0)
    tl.store(first + (row * x.token + channels), values.to(x.data.dtype.element_ty), mask=mask)


@triton.jit
def add_tile(x, at, channels, dim: tl.constexpr, values, adds: tl.constexpr):
    """`store_tile`, or add to what is there."""
    if adds:
        values += load_tile(x, at, channels, dim)
    store_tile(x, at, channels, dim, values)


@triton.jit
def add_row(x, at, row, channels, dim: tl.constexpr, values, adds: tl.constexpr):
    """`store_row`, or add to what is there."""
    if adds:
        values += load_row(x, at, row, channels, dim)
    store_row(x, at, row, channels, dim, values)


@triton.jit
def put_row(tile, at, row, values):
    """`tile` with `values` added to one of its rows."""
    return tile + tl.where(at.rows[:, None] == row, values[None, :], 0.0)


@triton.jit
def dot(a, b, dtype: tl.constexpr):
    """Matrix product of operands rounded to `dtype`, summed in float32; float32 operands are not rounded to TF32."""
    return tl.dot(a.to(dtype), b.to(dtype), input_precision="ieee")
