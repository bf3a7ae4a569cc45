"""Pass 2: chunk after chunk, the state that enters each one and what its tokens write; or gradients, the other way.

A program keeps all keys of some value channels of a state in registers, (values, keys), for no product then has 64
rows. The gradient of a state travels against the direction by the same recurrence: what it gives a chunk is added to
the gradient of what its tokens write, and what they read from the state is added to it.
"""

import triton
import triton.language as tl

from vigbench.ops.gated_delta.kernels.places import (
    chunk_number,
    delta_place,
    load_row_of,
    load_work,
    store_work,
)
from vigbench.ops.gla.kernels.tiles import dot, load_tile
from vigbench.ops.gla.kernels.variant import value_block
from vigbench.ops.kernel_math import zeros


@triton.jit
def at_turned_state(data, number, keys, values, variant: tl.constexpr):
    """Pointers to, and mask of, (values, keys) of a state, which lies as (keys, values) in memory."""
    first = data + number * (variant.key_dim * variant.value_dim)
    pointers = first + keys[None, :] * variant.value_dim + values[:, None]
    return pointers, (keys < variant.key_dim)[None, :] & (values < variant.value_dim)[:, None]


@triton.jit
def load_turned_state(data, number, keys, values, variant: tl.constexpr):
    """(values, keys) of a state as stored."""
    pointers, mask = at_turned_state(data, number, keys, values, variant)
    return tl.load(pointers, mask=mask, other=0.0)


@triton.jit
def _store_turned_state(data, number, keys, values, state, variant: tl.constexpr):
    pointers, mask = at_turned_state(data, number, keys, values, variant)
    tl.store(pointers, state.to(data.dtype.element_ty), mask=mask)


@triton.jit
def _program(first_direction, heads: tl.constexpr, variant: tl.constexpr):
    """Value channels, head, direction and whether it is the backward one."""
    block, rest = tl.program_id(0) % variant.value_blocks, tl.program_id(0) // variant.value_blocks
    direction = rest // heads
    return value_block(block, variant), rest % heads, direction, first_direction + direction


@triton.jit(do_not_specialize=["length", "first_direction"])
def delta_states(k, work, length, first_direction, heads: tl.constexpr, variant: tl.constexpr):
    """Grid: (value blocks * heads * directions, 1, batch)."""
    size: tl.constexpr = variant.chunk
    values, head, direction, reverse = _program(first_direction, heads, variant)
    keys, batch = tl.arange(0, variant.all_keys), tl.program_id(2)
    chunks = tl.cdiv(length, size)
    first = chunk_number(direction, batch, tl.num_programs(2), head, 0, chunks, heads)
    dtype: tl.constexpr = k.data.dtype.element_ty
    state = zeros(variant.value_block, variant.all_keys)
    for chunk in range(chunks):
        number = first + chunk
        _store_turned_state(work.states, number, keys, values, state, variant)
        w = load_work(work.w, number, keys, variant.key_dim, size)
        u = load_work(work.u, number, values, variant.value_dim, size).to(tl.float32)
        u -= dot(w, tl.trans(state.to(dtype)), dtype)
        store_work(work.u, number, values, variant.value_dim, size, u)
        k_tile = load_tile(k, delta_place(batch, head, chunk, length, reverse, variant), keys, variant.key_dim)
        leaving = u * load_row_of(work.leave, number, size)[:, None]
        total = tl.load(work.arrive + number * size + (size - 1))
        state = total * state + dot(tl.trans(leaving.to(dtype)), k_tile, dtype)


@triton.jit(do_not_specialize=["length", "first_direction"])
def delta_state_gradients(q, k, grad, work, length, first_direction, heads: tl.constexpr, variant: tl.constexpr):
    """Completes `work.du`. Grid: (value blocks * heads * directions, 1, batch)."""
    size: tl.constexpr = variant.chunk
    values, head, direction, reverse = _program(first_direction, heads, variant)
    keys, batch = tl.arange(0, variant.all_keys), tl.program_id(2)
    chunks = tl.cdiv(length, size)
    first = chunk_number(direction, batch, tl.num_programs(2), head, 0, chunks, heads)
    dtype: tl.constexpr = k.data.dtype.element_ty
    adjoint = zeros(variant.value_block, variant.all_keys)
    for n in range(chunks):
        chunk = chunks - 1 - n
        number = first + chunk
        _store_turned_state(work.state_grads, number, keys, values, adjoint, variant)
        at = delta_place(batch, head, chunk, length, reverse, variant)
        given = dot(load_tile(k, at, keys, variant.key_dim), tl.trans(adjoint.to(dtype)), dtype)
        du = load_work(work.du, number, values, variant.value_dim, size).to(tl.float32)
        du += load_row_of(work.leave, number, size)[:, None] * given
        store_work(work.du, number, values, variant.value_dim, size, du)
        arriving = load_tile(grad, at, values, variant.value_dim).to(tl.float32)
        arriving *= load_row_of(work.arrive, number, size)[:, None]
        total = tl.load(work.arrive + number * size + (size - 1))
        adjoint = total * adjoint + dot(tl.trans(arriving.to(dtype)), load_tile(q, at, keys, variant.key_dim), dtype)
        w = load_work(work.w, number, keys, variant.key_dim, size)
        adjoint -= dot(tl.trans(du.to(dtype)), w, dtype)
