"""Where a program of the gated delta rule works: tokens in the order in which its direction meets them.

A direction's chunks begin at its own first token, so that all mathematics is that of the forward one: the backward
direction differs in its addresses alone. What one kernel leaves for another lies chunk by chunk in that order, without
gaps, for all directions, sequences and heads.
"""

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.gla.kernels.tiles import GlaPlace
from vigbench.ops.kernel_math import LOG2_E


class DeltaGatePair(NamedTuple):
    """A number a token and head of each direction, (batch, length, heads), contiguous; the same one where one lacks."""

    forward: Tensor
    backward: Tensor


class DeltaWork(NamedTuple):
    """What kernels leave for each other, (directions, batch, heads, chunks, ...).

    `w` (chunk, key_dim) and `u` (chunk, value_dim): what tokens write is u - w S, which takes the place of u. `inverse`
    (chunk, chunk), where a backward needs it. `arrive` and `leave` (chunk), float32: decay from the chunk's start to a
    token, from a token to the chunk's end. `states` (key_dim, value_dim): what enters each chunk. `du`, `state_grads`:
    gradients of u and of the states that leave chunks.
    """

    w: Tensor
    u: Tensor
    inverse: Tensor
    arrive: Tensor
    leave: Tensor
    states: Tensor
    du: Tensor
    state_grads: Tensor


@triton.jit
def delta_place(batch, head, chunk, length, reverse, variant: tl.constexpr):
    """The tokens of a chunk; 64-bit where offsets may exceed 2^31 elements."""
    met = chunk * variant.chunk
    rows = tl.arange(0, variant.chunk)
    start = (met + reverse * (length - 1 - 2 * met)).to(tl.int64)
    return GlaPlace(batch.to(tl.int64), head, start, length, rows * (1 - 2 * reverse), rows < length - met)


@triton.jit
def chunk_number(direction, batch, batches, head, chunk, chunks, heads: tl.constexpr):
    """Of a chunk among all of `DeltaWork`."""
    return (((direction * batches + batch) * heads + head) * chunks + chunk).to(tl.int64)


@triton.jit
def at_gate(data, at, heads: tl.constexpr):
    """Pointers to a number of each token."""
    return data + (at.batch * at.length + at.start + at.rows) * heads + at.head


@triton.jit
def load_gate(pair, at, reverse, heads: tl.constexpr):
    """A number of each token in float32, zero beyond the sequence."""
    if reverse == 0:
        x = tl.load(at_gate(pair.forward, at, heads), mask=at.valid, other=0.0).to(tl.float32)
    else:
        x = tl.load(at_gate(pair.backward, at, heads), mask=at.valid, other=0.0).to(tl.float32)
    return x


@triton.jit
def store_gate(pair, at, reverse, values, heads: tl.constexpr):
    """Write where `load_gate` would read."""
    if reverse == 0:
        at_forward = at_gate(pair.forward, at, heads)
        tl.store(at_forward, values.to(pair.forward.dtype.element_ty), mask=at.valid)
    else:
        at_backward = at_gate(pair.backward, at, heads)
        tl.store(at_backward, values.to(pair.backward.dtype.element_ty), mask=at.valid)


@triton.jit
def at_work(data, number, channels, dim: tl.constexpr, size: tl.constexpr):
    """Pointers to, and mask of, (size, channels) of a chunk's tile."""
    rows = tl.arange(0, size)[:, None]
    pointers = data + number * (size * dim) + rows * dim + channels[None, :]
    return pointers, (rows >= 0) & (channels < dim)[None, :]


@triton.jit
def load_work(data, number, channels, dim: tl.constexpr, size: tl.constexpr):
    """(size, channels) of a chunk's tile as stored; zero where a channel is not below `dim`."""
    pointers, mask = at_work(data, number, channels, dim, size)
    return tl.load(pointers, mask=mask, other=0.0)


@triton.jit
def store_work(data, number, channels, dim: tl.constexpr, size: tl.constexpr, values):
    """Write `values` where `load_work` would read."""
    pointers, mask = at_work(data, number, channels, dim, size)
    tl.store(pointers, values.to(data.dtype.element_ty), mask=mask)


@triton.jit
def load_turned_square(data, number, size: tl.constexpr):
    """A chunk's (size, size) tile as stored, turned around."""
    rows = tl.arange(0, size)
    return tl.load(data + number * (size * size) + rows[:, None] + rows[None, :] * size)


@triton.jit
def load_row_of(data, number, size: tl.constexpr):
    """A chunk's (size) numbers."""
    return tl.load(data + number * size + tl.arange(0, size))


@triton.jit
def load_log2_gate(pair, at, reverse, heads: tl.constexpr):
    """The log2-decay of each token."""
    return load_gate(pair, at, reverse, heads) * LOG2_E
