"""Pass 2: outputs of a chunk in all directions, summed and gated before they are written once."""

import triton
import triton.language as tl

from vigbench.ops.scan.kernels.states import blocks, load_state
from vigbench.ops.scan.kernels.tiles import (
    load_channels,
    load_log2_decay,
    load_row,
    load_states,
    load_step,
    place_of,
    scan,
    store_channels,
)


@triton.jit
def _read(x, states, chunk, chunks, segment_chunks, at, variant: tl.constexpr, reverse: tl.constexpr):
    """One direction's outputs, (tokens, channels)."""
    row = at.direction * tl.num_programs(2) + tl.program_id(2)
    log2_decay = load_log2_decay(x, at.direction, at.channels, at.states, variant)
    entering = load_state(states, row, chunk, chunks, segment_chunks, log2_decay, at.channels, at.states, variant)
    step, u = load_step(x, at, variant), load_channels(x.u, at, variant)
    decay = tl.exp2(step[:, :, None] * log2_decay[None, :, :])
    written = (step * u)[:, :, None] * load_states(x.B, at, variant)[:, None, :]
    state = scan(decay, written, entering, reverse)
    out = tl.sum(state * load_states(x.C, at, variant)[:, None, :], 2)
    if variant.has_skip:
        out += load_row(x.D, at.direction, at.channels, variant)[None, :] * u
    return out


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def scan_outputs(x, states, out, length, segment_chunks, scale, variant: tl.constexpr):
    """Grid: (blocks of channels, chunks, batch)."""
    channels, numbers = blocks(tl.program_id(0), variant)
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    first = tl.program_id(0) * 0  # a constant would not go into a tuple
    at = place_of(first, batch, chunk, length, channels, numbers, variant)
    if variant.forward:
        total = _read(x, states, chunk, chunks, segment_chunks, at, variant, False)
        if variant.backward:
            at_last = place_of(first + 1, batch, chunk, length, channels, numbers, variant)
            total += _read(x, states, chunk, chunks, segment_chunks, at_last, variant, True)
    else:
        total = _read(x, states, chunk, chunks, segment_chunks, at, variant, True)
    if variant.has_z:
        gate = load_channels(x.z, at, variant)
        total *= gate * tl.sigmoid(gate)
    store_channels(out, at, total * scale, variant)
