"""Tensors as the scan's kernels see them, and what every pass computes from them: steps, decays, scans of a chunk."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.scan.operator import SOFTPLUS_THRESHOLD

LOG2_E = tl.constexpr(1.4426950408889634)
THRESHOLD = tl.constexpr(SOFTPLUS_THRESHOLD)


class ScanPlace(NamedTuple):
    """Where a program works: tokens `start + rows` of a direction of a sequence; what is not `valid` reads as zero."""

    direction: Any
    batch: Any
    start: Any
    rows: Any
    valid: Any
    channels: Any
    states: Any


@triton.jit
def place_of(direction, batch, chunk, length, channels, states, variant: tl.constexpr):
    """All tokens of a chunk; 64-bit where offsets may exceed 2^31 elements."""
    start, rows = chunk.to(tl.int64) * variant.chunk, tl.arange(0, variant.chunk)
    return ScanPlace(direction, batch.to(tl.int64), start, rows, start + rows < length, channels, states)


@triton.jit
def moved(at, by: tl.constexpr, length, variant: tl.constexpr):
    """The tokens `by` further on, as far as they belong to the chunk."""
    rows = at.rows + by
    valid = (rows >= 0) & (rows < variant.chunk) & (at.start + rows < length)
    return ScanPlace(at.direction, at.batch, at.start, rows, valid, at.channels, at.states)


@triton.jit
def _pointers(x, at, columns):
    first = x.data + at.direction * x.direction + at.batch * x.batch + at.start * x.token
    return first + at.rows[:, None] * x.token + columns[None, :]


@triton.jit
def load_channels(x, at, variant: tl.constexpr):
    """(tokens, channels) in float32."""
    mask = at.valid[:, None] & (at.channels < variant.dim)[None, :]
    return tl.load(_pointers(x, at, at.channels), mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store_channels(x, at, values, variant: tl.constexpr):
    """Write `values` where `load_channels` would read."""
    mask = at.valid[:, None] & (at.channels < variant.dim)[None, :]
    tl.store(_pointers(x, at, at.channels), values.to(x.data.dtype.element_ty), mask=mask)


@triton.jit
def load_states(x, at, variant: tl.constexpr):
    """(tokens, states) in float32."""
    mask = at.valid[:, None] & (at.states < variant.state)[None, :]
    return tl.load(_pointers(x, at, at.states), mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store_states(x, at, values, variant: tl.constexpr):
    """Write `values` where `load_states` would read."""
    mask = at.valid[:, None] & (at.states < variant.state)[None, :]
    tl.store(_pointers(x, at, at.states), values, mask=mask)


@triton.jit
def at_matrix(data, number, channels, states, variant: tl.constexpr):
    """Pointers to, and mask of, (channels, states) of the matrix of that number."""
    first = data + number.to(tl.int64) * (variant.dim * variant.state)
    return (
        first + channels[:, None] * variant.state + states[None, :],
        (channels < variant.dim)[:, None] & (states < variant.state)[None, :],
    )


@triton.jit
def load_row(data, number, channels, variant: tl.constexpr):
    """(channels) of the row of that number, in float32."""
    at = data + number.to(tl.int64) * variant.dim + channels
    return tl.load(at, mask=channels < variant.dim, other=0.0).to(tl.float32)


@triton.jit
def store_row(data, number, channels, values, variant: tl.constexpr):
    """Write `values` where `load_row` would read."""
    at = data + number.to(tl.int64) * variant.dim + channels
    tl.store(at, values, mask=channels < variant.dim)


@triton.jit
def load_log2_decay(x, direction, channels, states, variant: tl.constexpr):
    """A in units of log2, (channels, states): 2 to the power of it times a step is the decay."""
    pointers, mask = at_matrix(x.A, direction, channels, states, variant)
    return tl.load(pointers, mask=mask, other=0.0).to(tl.float32) * LOG2_E


@triton.jit
def load_raw(x, at, variant: tl.constexpr):
    """delta + delta_bias, (tokens, channels)."""
    raw = load_channels(x.delta, at, variant)
    if variant.has_bias:
        raw += load_row(x.bias, at.direction, at.channels, variant)[None, :]
    return raw


@triton.jit
def step_of(raw, at, variant: tl.constexpr):
    """The step sizes, 0 beyond the sequence, where a state just stays."""
    step = raw
    if variant.softplus:
        small = tl.exp(tl.minimum(raw, THRESHOLD))
        one_more = 1.0 + small  # rounded; the quotient below takes that back, so that small steps keep their digits
        log1p = tl.where(one_more == 1.0, small, tl.log(one_more) * (small / tl.maximum(one_more - 1.0, 1e-30)))
        step = tl.where(raw > THRESHOLD, raw, log1p)
    return tl.where(at.valid[:, None], step, 0.0)


@triton.jit
def load_step(x, at, variant: tl.constexpr):
    """The step sizes, (tokens, channels)."""
    return step_of(load_raw(x, at, variant), at, variant)


@triton.jit
def _after(decay, state, next_decay, next_state):
    return decay * next_decay, state * next_decay + next_state


@triton.jit
def scan(decay, written, entering, reverse: tl.constexpr):
    """State after each token of the chunk, (tokens, channels, states), from the one that enters it."""
    through, state = tl.associative_scan((decay, written), 0, _after, reverse=reverse)
    return state + through * entering[None, :, :]


@triton.jit
def load_gradient(grad, x, at, scale, variant: tl.constexpr):
    """Gradient of the sum over the directions before the gate, (tokens, channels)."""
    d_out = load_channels(grad, at, variant) * scale
    if variant.has_z:
        gate = load_channels(x.z, at, variant)
        d_out *= gate * tl.sigmoid(gate)
    return d_out
