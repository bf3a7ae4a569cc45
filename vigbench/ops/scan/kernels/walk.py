"""How a program walks: which tokens of which sequence in which order, and what it loads and stores on its way."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.kernel_math import LOG2_E, zeros


class ScanWay(NamedTuple):
    """A piece of a direction of a sequence.

    Attributes:
        direction, batch: of the sequence; `sequence` numbers both.
        piece, pieces: which one it is, and how many a direction has.
        start, end: positions in the order of the direction; the backward one has position 0 at the last token.
        first, sign: position p is token first + sign p; `first` has 64 bits, for offsets may exceed 2^31 elements.
        channels, states: (dim_block), (state_block).
    """

    direction: Any
    batch: Any
    sequence: Any
    piece: Any
    pieces: Any
    start: Any
    end: Any
    first: Any
    sign: Any
    channels: Any
    states: Any


@triton.jit
def way_of(piece, segments, tokens, length, variant: tl.constexpr):
    """Of a program whose first number in the grid is block of channels * directions, and the third the batch's."""
    directions: tl.constexpr = variant.forward + variant.backward
    direction, batch = tl.program_id(0) % directions, tl.program_id(2)
    backward = direction >= variant.forward
    middle = tl.where(backward, length // directions, length - length // directions) if directions == 2 else length
    phase = piece // segments
    start = phase * middle + piece % segments * tokens
    end = tl.minimum(start + tokens, tl.where(phase == directions - 1, length, middle))
    channels = tl.program_id(0) // directions * (variant.blocks * variant.dim_block) + tl.arange(0, variant.dim_block)
    return ScanWay(
        direction.to(tl.int64), batch.to(tl.int64), direction * tl.num_programs(2) + batch, piece,
        directions * segments, start, end, tl.where(backward, length - 1, 0).to(tl.int64),
        tl.where(backward, -1, 1), channels, tl.arange(0, variant.state_block),
    )  # fmt: skip


@triton.jit
def _at(x, way, start, columns, limit, variant: tl.constexpr, ahead: tl.constexpr):
    """Pointers to, and mask of, (chunk, columns) of the tokens from position `start` on.

    Only the first token's address is computed in 64 bits, once for all lanes.
    """
    rows = tl.arange(0, variant.chunk)
    first = x.data + way.direction * x.direction + way.batch * x.batch + (way.first + way.sign * start) * x.token
    return (
        first + ahead + ((way.sign * rows)[:, None] * x.token + columns[None, :]),
        (start + rows < way.end)[:, None] & (columns < limit - ahead)[None, :],
    )


@triton.jit
def load_channels(x, way, start, variant: tl.constexpr, ahead: tl.constexpr = 0):
    """(chunk, dim_block) of the tokens from position `start` on, as they are stored; zero beyond the way's end.

    Here and below channels are those of the way, or as many `ahead`: so the same addresses serve all of a program's.
    """
    at, mask = _at(x, way, start, way.channels, variant.dim, variant, ahead)
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def store_channels(x, way, start, values, variant: tl.constexpr, ahead: tl.constexpr = 0):
    """Write `values` where `load_channels` would read."""
    at, mask = _at(x, way, start, way.channels, variant.dim, variant, ahead)
    tl.store(at, values.to(x.data.dtype.element_ty), mask=mask)


@triton.jit
def load_states(x, way, start, variant: tl.constexpr):
    """(chunk, state_block) of B or C, as `load_channels`."""
    at, mask = _at(x, way, start, way.states, variant.state, variant, 0)
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def store_states(x, way, start, values, variant: tl.constexpr):
    """Write `values` to the program's own part of the gradients of B or C."""
    rows = start + tl.arange(0, variant.chunk)
    token = (way.first + way.sign * rows)[:, None]
    at = x.data + tl.program_id(0).to(tl.int64) * x.direction + way.batch * x.batch + token * x.token
    tl.store(at + way.states[None, :], values, mask=(rows < way.end)[:, None] & (way.states < variant.state)[None, :])


@triton.jit
def _load_row(data, way, variant: tl.constexpr, ahead: tl.constexpr):
    """(1, dim_block) of the direction's row of a (directions, dim) matrix."""
    at = data + way.direction * variant.dim + ahead + way.channels
    return tl.load(at, mask=way.channels < variant.dim - ahead, other=0.0).to(tl.float32)[None, :]


@triton.jit
def load_bias(x, way, variant: tl.constexpr, ahead: tl.constexpr = 0):
    """delta_bias, (1, dim_block)."""
    return _load_row(x.bias, way, variant, ahead) if variant.has_bias else zeros(1, variant.dim_block)


@triton.jit
def load_skip(x, way, variant: tl.constexpr, ahead: tl.constexpr = 0):
    """D, (1, dim_block)."""
    return _load_row(x.D, way, variant, ahead) if variant.has_skip else zeros(1, variant.dim_block)


@triton.jit
def store_row(data, number, way, values, variant: tl.constexpr, ahead: tl.constexpr = 0):
    """Write (dim_block) to the row of that number of a (rows, dim) matrix."""
    at = data + number.to(tl.int64) * variant.dim + ahead + way.channels
    tl.store(at, values, mask=way.channels < variant.dim - ahead)


@triton.jit
def load_log2_decay(x, way, variant: tl.constexpr, ahead: tl.constexpr = 0):
    """A in units of log2, (1, state_block, dim_block): 2 to the power of it times a step is the decay."""
    channels, states = way.channels[None, :], way.states[:, None]
    at = x.A + (way.direction * variant.dim + ahead) * variant.state + (channels * variant.state + states)
    A = tl.load(at, mask=(channels < variant.dim - ahead) & (states < variant.state), other=0.0)
    return (A.to(tl.float32) * LOG2_E)[None, :, :]


@triton.jit
def at_states(data, numbers, way, variant: tl.constexpr, ahead: tl.constexpr = 0):
    """Pointers to, and mask of, (numbers, state_block, dim_block) of the matrices of these numbers."""
    channels, states = way.channels[None, None, :], way.states[None, :, None]
    first = data + numbers.to(tl.int64)[:, None, None] * (variant.dim * variant.state) + ahead
    # else Triton gives each lane several channels to load at once, and so shares the states of one out among many lanes
    at = tl.multiple_of(first + (states * variant.dim + channels), [1, 1, 1])
    return at, (channels < variant.dim - ahead) & (states < variant.state)


@triton.jit
def load_state(data, number, way, exists, variant: tl.constexpr, ahead: tl.constexpr = 0):
    """(1, state_block, dim_block); zero unless it `exists`."""
    at, mask = at_states(data, number + tl.arange(0, 1), way, variant, ahead)
    return tl.load(at, mask=mask & exists, other=0.0)


@triton.jit
def store_state(data, number, way, exists, values, variant: tl.constexpr, ahead: tl.constexpr = 0):
    """Write (1, state_block, dim_block), if there is a place for it."""
    at, mask = at_states(data, number + tl.arange(0, 1), way, variant, ahead)
    tl.store(at, values, mask=mask & exists)
