"""Backward, last pass: gradients of q, k, v, log-decays and strengths in each chunk, from states and their gradients.

What tokens write is u = (I + A)^-1 x, x = beta (v - e^b k S): dx = (I + A)^-T du, dA = -dx u^T below the diagonal.
"""

from typing import NamedTuple

import triton
import triton.language as tl

from vigbench.ops.gated_delta.kernels.places import (
    DeltaGatePair,
    chunk_number,
    delta_place,
    load_gate,
    load_log2_gate,
    load_row_of,
    load_turned_square,
    load_work,
    store_gate,
)
from vigbench.ops.gated_delta.kernels.states import load_turned_state
from vigbench.ops.gated_delta.kernels.systems import pair_decay
from vigbench.ops.gla.kernels.tiles import GlaView, add_tile, dot, load_tile
from vigbench.ops.gla.kernels.variant import key_block, value_block
from vigbench.ops.kernel_math import zeros, zeros_row


class DeltaInputs(NamedTuple):
    """What was given, and the output's gradient."""

    q: GlaView
    k: GlaView
    v: GlaView
    g: DeltaGatePair
    beta: DeltaGatePair
    grad: GlaView


class DeltaGradients(NamedTuple):
    """Where they go."""

    q: GlaView
    k: GlaView
    v: GlaView
    g: DeltaGatePair
    beta: DeltaGatePair


@triton.jit
def _sums(x, mask):
    """Of each row's columns in the mask, from (columns): never the difference of two sums."""
    return tl.sum(tl.where(mask, x[None, :], 0.0), 1)


@triton.jit
def _right_grad(work, inverse, number, values, variant: tl.constexpr, dtype: tl.constexpr):
    """(I + A)^-T du of some value channels."""
    return dot(inverse, load_work(work.du, number, values, variant.value_dim, variant.chunk), dtype)


@triton.jit
def _pair_gradients(
    x, grads, work, at, number, inverse, strength, scale, value_blocks, variant: tl.constexpr, adds: tl.constexpr
):
    """Gradients of scores and of A / beta, (later, earlier) and turned; of beta through v. Stores those of v."""
    size: tl.constexpr = variant.chunk
    dtype: tl.constexpr = x.v.data.dtype.element_ty
    scores, scores_turned = zeros(size, size), zeros(size, size)
    system, system_turned = zeros(size, size), zeros(size, size)
    d_strength = zeros_row(size)
    for block in range(value_blocks):
        values = value_block(block, variant)
        grad = load_tile(x.grad, at, values, variant.value_dim)
        u = load_work(work.u, number, values, variant.value_dim, size)
        scores += dot(grad, tl.trans(u), dtype)
        scores_turned += dot(u, tl.trans(grad), dtype)
        right = _right_grad(work, inverse, number, values, variant, dtype)
        d_strength += tl.sum(right * load_tile(x.v, at, values, variant.value_dim).to(tl.float32), 1)
        add_tile(grads.v, at, values, variant.value_dim, strength[:, None] * right * scale, adds)
        right = right.to(dtype)
        system -= dot(right, tl.trans(u), dtype)
        system_turned -= dot(u, tl.trans(right), dtype)
    return scores, scores_turned, system, system_turned, d_strength


@triton.jit
def _state_reads(x, work, at, number, keys, inverse, value_blocks, variant: tl.constexpr):
    """Of some keys: gradients of outputs, and of right-hand sides, times the state; u times the state's gradient.

    And sum(state * gradient of the state that leaves).
    """
    size: tl.constexpr = variant.chunk
    dtype: tl.constexpr = x.v.data.dtype.element_ty
    read, held = zeros(size, variant.key_block), zeros(size, variant.key_block)
    left, passing = zeros(size, variant.key_block), zeros_row(variant.key_block)
    for block in range(value_blocks):
        values = value_block(block, variant)
        state = load_turned_state(work.states, number, keys, values, variant)
        state_grad = load_turned_state(work.state_grads, number, keys, values, variant)
        read += dot(load_tile(x.grad, at, values, variant.value_dim), state, dtype)
        held += dot(_right_grad(work, inverse, number, values, variant, dtype), state, dtype)
        left += dot(load_work(work.u, number, values, variant.value_dim, size), state_grad, dtype)
        passing += tl.sum(state.to(tl.float32) * state_grad.to(tl.float32), 0)
    return read, held, left, tl.sum(passing)


@triton.jit(do_not_specialize=["length", "direction", "reverse", "key_blocks", "value_blocks"])
def delta_gradients(
    x, work, grads, key_blocks, value_blocks, length, scale, direction, reverse,
    heads: tl.constexpr, variant: tl.constexpr, adds: tl.constexpr,
):  # fmt: skip
    """Of one direction; those of q, k and v are written or added. Grid: (heads, chunks, batch).

    `key_blocks` and `value_blocks` only the run time knows: loops that are unrolled would not fit the registers.
    """
    size: tl.constexpr = variant.chunk
    dtype: tl.constexpr = x.v.data.dtype.element_ty
    head, chunk, chunks, batch = tl.program_id(0), tl.program_id(1), tl.num_programs(1), tl.program_id(2)
    at = delta_place(batch, head, chunk, length, reverse, variant)
    number = chunk_number(direction, batch, tl.num_programs(2), head, chunk, chunks, heads)
    log2_decay, strength = load_log2_gate(x.g, at, reverse, heads), load_gate(x.beta, at, reverse, heads)
    inverse = load_turned_square(work.inverse, number, size)
    scores, scores_turned, system, system_turned, d_strength = _pair_gradients(
        x, grads, work, at, number, inverse, strength, scale, value_blocks, variant, adds
    )
    row, column = tl.arange(0, size)[:, None], tl.arange(0, size)[None, :]
    decay, decay_turned = pair_decay(log2_decay, size, False), pair_decay(log2_decay, size, True)
    arrive, leave = load_row_of(work.arrive, number, size), load_row_of(work.leave, number, size)
    scores *= decay
    scores_turned *= decay_turned
    system = tl.where(row > column, system * decay, 0.0)
    system_turned = tl.where(row < column, system_turned * decay_turned, 0.0) * strength[None, :]
    between = strength[:, None] * system + system_turned
    gram, attention = zeros(size, size), zeros(size, size)
    by_arrival, by_departure, known, by_total = zeros_row(size), zeros_row(size), zeros_row(size), 0.0
    for block in range(key_blocks):
        keys = key_block(block, variant)
        q_tile, k_tile = load_tile(x.q, at, keys, variant.key_dim), load_tile(x.k, at, keys, variant.key_dim)
        gram += dot(k_tile, tl.trans(k_tile), dtype)
        attention += dot(q_tile, tl.trans(k_tile), dtype)
        read, held, left, passing = _state_reads(x, work, at, number, keys, inverse, value_blocks, variant)
        read *= arrive[:, None]
        held *= arrive[:, None]
        left *= leave[:, None]
        by_total += passing
        by_arrival += tl.sum(q_tile * read, 1)
        by_departure += tl.sum(k_tile * left, 1)
        known += tl.sum(k_tile * held, 1)
        dq = read + dot(scores, k_tile, dtype)
        dk = left - strength[:, None] * held + dot(scores_turned, q_tile, dtype) + dot(between, k_tile, dtype)
        add_tile(grads.q, at, keys, variant.key_dim, dq * scale, adds)
        add_tile(grads.k, at, keys, variant.key_dim, dk * scale, adds)
    gram *= system
    d_strength += tl.sum(gram, 1) - known
    by_pair = scores * attention + strength[:, None] * gram
    d_decay = tl.sum(tl.where(row > column, tl.cumsum(by_pair, 0, reverse=True), 0.0), 1)
    d_decay += _sums(by_arrival - strength * known, column >= row) + _sums(by_departure, column < row)
    d_decay += by_total * tl.load(work.arrive + number * size + (size - 1))
    store_gate(grads.g, at, reverse, d_decay * scale, heads)
    store_gate(grads.beta, at, reverse, d_strength * scale, heads)
