"""All gradients of a chunk, from the states that enter it and the gradients of those that leave it.

B and C belong to all channels, A, D and delta_bias to all tokens: programs write their own parts of those gradients,
which are summed afterwards in a fixed order, so that the same inputs give the same bits.
"""

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.scan.kernels.inputs import ScanView
from vigbench.ops.scan.kernels.states import blocks, load_state
from vigbench.ops.scan.kernels.tiles import (
    LOG2_E,
    THRESHOLD,
    ScanPlace,
    at_matrix,
    load_channels,
    load_gradient,
    load_log2_decay,
    load_raw,
    load_row,
    load_states,
    load_step,
    moved,
    place_of,
    scan,
    step_of,
    store_channels,
    store_row,
    store_states,
)


class Gradients(NamedTuple):
    """Where gradients go. B and C: (blocks of channels * directions, batch, length, state), A, D and bias: (batch *
    chunks, directions, dim[, state]), all parts of sums, float32.
    """

    u: ScanView
    delta: ScanView
    A: Tensor
    B: ScanView
    C: ScanView
    D: Tensor
    z: ScanView
    bias: Tensor


@triton.jit
def _direction(
    x, d_out, states, adjoints, grads, chunk, chunks, length, segment_chunks, at, variant: tl.constexpr,
    reverse: tl.constexpr,
):  # fmt: skip
    """Writes one direction's gradients; returns its outputs, (tokens, channels), which the gate's gradient needs."""
    back: tl.constexpr = 1 if reverse else -1
    directions: tl.constexpr = variant.forward + variant.backward
    row = at.direction * tl.num_programs(2) + tl.program_id(2)
    log2_decay = load_log2_decay(x, at.direction, at.channels, at.states, variant)
    B, C = load_states(x.B, at, variant), load_states(x.C, at, variant)

    # the state before each token: a scan over the tokens before
    previous = moved(at, back, length, variant)
    step, u = load_step(x, previous, variant), load_channels(x.u, previous, variant)
    decay = tl.exp2(step[:, :, None] * log2_decay[None, :, :])
    written = (step * u)[:, :, None] * load_states(x.B, previous, variant)[:, None, :]
    entering = load_state(states, row, chunk, chunks, segment_chunks, log2_decay, at.channels, at.states, variant)
    before = scan(decay, written, entering, reverse)

    # the gradient of the state after each token: a scan from the other end, over the decays of the tokens after
    step = load_step(x, moved(at, -back, length, variant), variant)
    decay = tl.exp2(step[:, :, None] * log2_decay[None, :, :])
    leaving = load_state(adjoints, row, chunk, chunks, segment_chunks, log2_decay, at.channels, at.states, variant)
    d_state = scan(decay, d_out[:, :, None] * C[:, None, :], leaving, not reverse)

    raw, u = load_raw(x, at, variant), load_channels(x.u, at, variant)
    step = step_of(raw, at, variant)
    decayed = tl.exp2(step[:, :, None] * log2_decay[None, :, :]) * before
    after = decayed + (step * u)[:, :, None] * B[:, None, :]
    out = tl.sum(after * C[:, None, :], 2)
    share = ScanPlace(
        tl.program_id(0) * directions + at.direction, at.batch, at.start, at.rows, at.valid, at.channels, at.states
    )
    store_states(grads.C, share, tl.sum(after * d_out[:, :, None], 1), variant)
    store_states(grads.B, share, tl.sum(d_state * (step * u)[:, :, None], 1), variant)
    d_written = tl.sum(d_state * B[:, None, :], 2)
    d_decay = d_state * decayed
    number = (tl.program_id(2) * chunks + chunk) * directions + at.direction
    pointers, mask = at_matrix(grads.A, number, at.channels, at.states, variant)
    tl.store(pointers, tl.sum(d_decay * step[:, :, None], 0), mask=mask)
    d_raw = tl.sum(d_decay * log2_decay[None, :, :], 2) / LOG2_E + d_written * u
    if variant.softplus:
        d_raw *= tl.where(raw > THRESHOLD, 1.0, tl.sigmoid(raw))
    d_u = d_written * step
    if variant.has_skip:
        D = load_row(x.D, at.direction, at.channels, variant)[None, :]
        out += D * u
        d_u += D * d_out
        store_row(grads.D, number, at.channels, tl.sum(d_out * u, 0), variant)
    if variant.has_bias:
        store_row(grads.bias, number, at.channels, tl.sum(tl.where(at.valid[:, None], d_raw, 0.0), 0), variant)
    store_channels(grads.delta, at, d_raw, variant)
    store_channels(grads.u, at, d_u, variant)
    return out


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def scan_gradients(x, grad, states, adjoints, grads, length, segment_chunks, scale, variant: tl.constexpr):
    """Grid: (blocks of channels, chunks, batch)."""
    channels, numbers = blocks(tl.program_id(0), variant)
    chunk, chunks, batch = tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    first = tl.program_id(0) * 0  # a constant would not go into a tuple
    at = place_of(first, batch, chunk, length, channels, numbers, variant)
    d_out = load_gradient(grad, x, at, scale, variant)
    if variant.forward:
        out = _direction(x, d_out, states, adjoints, grads, chunk, chunks, length, segment_chunks, at, variant, False)
        if variant.backward:
            at_last = place_of(first + 1, batch, chunk, length, channels, numbers, variant)
            out += _direction(
                x, d_out, states, adjoints, grads, chunk, chunks, length, segment_chunks, at_last, variant, True
            )
    else:
        out = _direction(x, d_out, states, adjoints, grads, chunk, chunks, length, segment_chunks, at, variant, True)
    if variant.has_z:
        gate = load_channels(x.z, at, variant)
        on = tl.sigmoid(gate)
        d_gate = load_channels(grad, at, variant) * scale * out * on * (1.0 + gate * (1.0 - on))
        store_channels(grads.z, at, d_gate, variant)
