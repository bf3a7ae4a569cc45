"""Pass 1: the sums that enter each chunk from both sides, from one pass over k and v."""

from typing import Any  # noqa: F401  in a type comment: Triton takes no annotation

import triton
import triton.language as tl

from vigbench.ops.biwkv.kernels.sums import (
    EMPTY,
    WITHOUT_BONUS,
    BiwkvPlace,
    add,
    add_value,
    channels_if,
    load_row,
    load_sums,
    load_token,
    moved,
    named,
    no_sums,
    place_of,
    store_sums,
)

GROUP = tl.constexpr(8)  # chunks that are loaded at once when sums are handed on


@triton.jit(do_not_specialize=["length"])
def wkv_states(
    w, k, v, states, k_batch, k_token, v_batch, v_token, length, dim, chunk: tl.constexpr, block: tl.constexpr
):
    """What each chunk adds for the chunks after it and before it. Grid: (chunks, blocks of channels, batch)."""
    at = place_of(tl.program_id(0), tl.num_programs(0), tl.program_id(2), tl.num_programs(2), dim, block)
    decay = load_row(w, at)
    past, future = no_sums(block), no_sums(block)
    for n in tl.static_range(chunk):
        token = at.chunk * chunk + n
        key = load_token(k, k_batch, k_token, token, length, at, EMPTY)
        value = load_token(v, v_batch, v_token, token, length, at, 0.0)
        past = add_value(past, key, n - chunk, value, decay)
        future = add_value(future, key, -1 - n, value, decay)
    store_sums(states, at, 0, past, WITHOUT_BONUS)
    store_sums(states, at, 1, future, WITHOUT_BONUS)


@triton.jit
def _at_step(at, step, side):
    """The chunk that comes as number `step` on the way of that side's sums."""
    chunk = tl.where(side == 0, step, at.chunks - 1 - step)
    valid = channels_if(step < at.chunks, at)
    return BiwkvPlace(at.batch, chunk, at.chunks, at.batches, at.channels, valid, at.dim)


@triton.jit(do_not_specialize=["chunks"])
def wkv_carry(w, states, chunks, dim, chunk: tl.constexpr, block: tl.constexpr, parts: tl.constexpr):
    """What enters each chunk, in place of what each adds. Grid: (2 sides, blocks of channels, batch)."""
    side = tl.program_id(0)
    at = place_of(0, chunks, tl.program_id(2), tl.num_programs(2), dim, block)
    decay = load_row(w, at)
    sums = no_sums(block)
    for start in range(0, chunks, GROUP):
        added = ()  # type: Any
        for n in tl.static_range(GROUP):
            added += (load_sums(states, _at_step(at, start + n, side), side, parts),)
        for n in tl.static_range(GROUP):
            store_sums(states, _at_step(at, start + n, side), side, sums, parts)
            sums = add(moved(sums, -chunk), named(added[n]), decay)
