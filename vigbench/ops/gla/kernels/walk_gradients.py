"""Backward by one walk: a program goes against one direction with the gradient of the state in registers.

The states that enter chunks come from a walk along the direction (`states.py`); what their gradients would fill in
memory, a second walk and its reading, is not there. A chunk's exponentials and tiles serve all of its gradients.
Two directions walk in two phases, as in `walk.py`: in the second one gradients of q, k and v are added.
"""

from typing import NamedTuple

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.features import ExponentialView, load_feature_row, load_features, store_feature_gradient
from vigbench.ops.gla.kernels.gates import RefinedGate, load_log2_decay, load_log2_decays, store_gate_gradient
from vigbench.ops.gla.kernels.state import empty_state, load_state, outer, read, store_state
from vigbench.ops.gla.kernels.sums import split_decay
from vigbench.ops.gla.kernels.tiles import (
    GlaView,
    add_row,
    add_tile,
    dot,
    load_row,
    load_tile,
    place_of,
    put_row,
)
from vigbench.ops.gla.kernels.variant import hands_over, segment_of
from vigbench.ops.kernel_math import zeros


class GlaInputs(NamedTuple):
    """What was given, and the output's gradient."""

    q: GlaView | ExponentialView
    k: GlaView | ExponentialView
    v: GlaView
    grad: GlaView


class GlaGradients(NamedTuple):
    """Where they go; those of a gate, of the forward direction or the only one, are of log-decays or of logits."""

    q: GlaView
    k: GlaView
    v: GlaView
    gate: GlaView | RefinedGate


@triton.jit
def _factored(
    x, state, adjoint, dv, at, keys, values, g, scale,
    dtype: tl.constexpr, variant: tl.constexpr, to_end: tl.constexpr, phase: tl.constexpr,
):  # fmt: skip
    """A chunk with mild decays: gradients of q and k without the tokens' own terms, of the state that leaves the chunk
    times that state, and of the state that enters it. Writes those of v, so that registers are free for the others.

    States and their gradients are (keys, values): so no product has 64 rows, and single warps multiply.
    """
    arrive, leave, half = split_decay(g, variant.chunk, dtype, to_end)
    factor = tl.exp2(half)[:, None]
    leaving = (load_features(x.k, at, keys, variant) * leave).to(dtype)
    arriving = (load_features(x.q, at, keys, variant) * arrive).to(dtype)
    behind = (at.rows[:, None] - at.rows[None, :]) if to_end else (at.rows[None, :] - at.rows[:, None])
    grad = load_tile(x.grad, at, values, variant.value_dim)
    adjoint = factor * adjoint
    scores = tl.where(behind <= 0, dot(leaving, tl.trans(arriving), dtype), 0.0)  # keys in the rows
    dv_tile = dot(scores, grad, dtype) + read(leaving, adjoint, dtype, variant)
    add_tile(dv, at, values, variant.value_dim, dv_tile * scale, phase == 1)
    state = factor * state
    v_tile = load_tile(x.v, at, values, variant.value_dim)
    dq = dot(tl.where(behind > 0, dot(grad, tl.trans(v_tile), dtype), 0.0), leaving, dtype)
    dq = (dq + dot(grad, tl.trans(state.to(dtype)), dtype)) * arrive
    beyond = tl.sum(state * adjoint, 1)
    dk = dot(v_tile, tl.trans(adjoint.to(dtype)), dtype) * leave
    beyond += tl.sum(load_features(x.k, at, keys, variant) * dk, 0)
    dk += dot(tl.where(behind < 0, dot(v_tile, tl.trans(grad), dtype), 0.0), arriving, dtype) * leave
    return dq, dk, beyond, factor * (adjoint + outer(arriving, grad, dtype, variant))


@triton.jit
def _exact(
    x, gate, state, adjoint, dv, at, keys, values, scale,
    variant: tl.constexpr, to_end: tl.constexpr, phase: tl.constexpr,
):  # fmt: skip
    """The same of a chunk with any decays, token by token: along the direction for q, against it for k and v."""
    dq = zeros(variant.chunk, variant.key_block)
    dk = dq
    count = tl.minimum(at.length - at.start, variant.chunk).to(tl.int32)  # known at run time only: nothing is unrolled
    for n in range(count):
        row = n if to_end else count - 1 - n
        state = tl.exp2(load_log2_decay(gate, at, row, keys, variant))[:, None] * state
        grad_row = load_row(x.grad, at, row, values, variant.value_dim)
        dq = put_row(dq, at, row, tl.sum(state * grad_row[None, :], 1))
        k_row, v_row = load_feature_row(x.k, at, row, keys, variant), load_row(x.v, at, row, values, variant.value_dim)
        state += k_row[:, None] * v_row[None, :]
    beyond = tl.sum(state * adjoint, 1)
    for n in range(count):
        row = count - 1 - n if to_end else n
        v_row = load_row(x.v, at, row, values, variant.value_dim)
        dk = put_row(dk, at, row, tl.sum(adjoint * v_row[None, :], 1))
        q_row = load_feature_row(x.q, at, row, keys, variant)
        adjoint += q_row[:, None] * load_row(x.grad, at, row, values, variant.value_dim)[None, :]
        k_row = load_feature_row(x.k, at, row, keys, variant)
        add_row(dv, at, row, values, variant.value_dim, tl.sum(k_row[:, None] * adjoint, 0) * scale, phase == 1)
        adjoint = tl.exp2(load_log2_decay(gate, at, row, keys, variant))[:, None] * adjoint
    return dq, dk, beyond, adjoint


@triton.jit
def _walk(
    x, gate, states, ends, grads, length, segment_chunks, scale, batch, head, row, keys, values,
    variant: tl.constexpr, to_end: tl.constexpr, phase: tl.constexpr,
):  # fmt: skip
    """One segment against one direction; `row` numbers the sequence among all states."""
    segment, segments = segment_of(not to_end, variant, phase)
    dtype: tl.constexpr = x.v.data.dtype.element_ty
    chunks = tl.cdiv(length, variant.chunk)
    first = segment * segment_chunks
    number = row * segments + segment if variant.segmented else row
    adjoint = empty_state(variant)
    if variant.segmented or phase == 1:
        adjoint += load_state(ends, number, keys, values, variant)
    steps = tl.minimum(segment_chunks, chunks - first)
    for n in range(steps):
        chunk = first + steps - 1 - n if to_end else first + n
        at = place_of(batch, head, chunk, length, variant)
        state = load_state(states, row * chunks + chunk, keys, values, variant)
        g = load_log2_decays(gate, at, keys, variant)
        if tl.min(tl.sum(g, 0)) >= -variant.mild:
            dq, dk, beyond, adjoint = _factored(
                x, state, adjoint, grads.v, at, keys, values, g, scale, dtype, variant, to_end, phase
            )
        else:
            dq, dk, beyond, adjoint = _exact(
                x, gate, state, adjoint, grads.v, at, keys, values, scale, variant, to_end, phase
            )
        q_tile, k_tile = load_features(x.q, at, keys, variant), load_features(x.k, at, keys, variant)
        own = load_tile(x.v, at, values, variant.value_dim).to(tl.float32)
        own = tl.sum(own * load_tile(x.grad, at, values, variant.value_dim), 1)[:, None]
        d_decay = beyond[None, :] + tl.cumsum(q_tile * dq - k_tile * dk, 0, reverse=to_end)
        store_gate_gradient(grads.gate, d_decay * scale, gate, at, keys, variant)
        store_feature_gradient(grads.q, (dq + own * k_tile) * scale, x.q, at, keys, variant, phase == 1)
        store_feature_gradient(grads.k, (dk + own * q_tile) * scale, x.k, at, keys, variant, phase == 1)
    if hands_over(variant, phase):
        store_state(ends, number, keys, values, adjoint, variant)


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def walk_gradients(
    x, gate_fwd, gate_bwd, states, ends, grads, grad_bwd, length, segment_chunks, scale,
    heads: tl.constexpr, variant: tl.constexpr, phase: tl.constexpr,
):  # fmt: skip
    """Gradients of a phase, written or, in the second one, added; those of the backward gate go to `grad_bwd`.

    `states`: what enters each chunk. `ends`: the gradients of the states that leave segments, or, of whole halves, of
    the one that the first phase hands over.
    Grid: (heads * directions, segments of a phase, batch).
    """
    directions: tl.constexpr = variant.forward + variant.backward
    head, direction, batch = tl.program_id(0) // directions, tl.program_id(0) % directions, tl.program_id(2)
    keys, values = tl.arange(0, variant.key_block), tl.arange(0, variant.value_block)
    row = (direction * tl.num_programs(2) + batch) * heads + head
    if variant.forward and direction == 0:
        _walk(
            x, gate_fwd, states, ends, grads, length, segment_chunks, scale, batch, head, row, keys, values,
            variant, True, phase,
        )  # fmt: skip
    else:
        _walk(
            x, gate_bwd, states, ends, GlaGradients(grads.q, grads.k, grads.v, grad_bwd), length, segment_chunks, scale,
            batch, head, row, keys, values, variant, False, phase,
        )  # fmt: skip
