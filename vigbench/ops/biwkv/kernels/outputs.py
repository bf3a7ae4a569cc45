"""Pass 2: the outputs of a chunk, from the sums that enter it from both sides."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from vigbench.ops.biwkv.kernels.sums import (
    EMPTY,
    WITHOUT_BONUS,
    add_value,
    load_row,
    load_sums,
    load_token,
    named,
    place_of,
    store_token,
)


class Mean(NamedTuple):
    """A token's output, and the weights it comes from.

    exp(key + w place + bonus) is the largest weight, `inverse` 1 over the sum of all relative to it, and `own` the
    token's own weight, likewise.
    """

    y: Any
    key: Any
    place: Any
    bonus: Any
    inverse: Any
    own: Any


@triton.jit
def load_tokens(x, batch_stride, token_stride, length, at, other: tl.constexpr, chunk: tl.constexpr):
    """All tokens of a chunk, one by one."""
    tokens = ()  # type: Any
    for n in tl.static_range(chunk):
        tokens += (load_token(x, batch_stride, token_stride, at.chunk * chunk + n, length, at, other),)
    return tokens


@triton.jit
def sums_after(keys, values, entering, decay, chunk: tl.constexpr):
    """For each token of a chunk the sums over those after it, the last token first."""
    found = (entering,)  # type: Any
    for n in tl.static_range(chunk - 1):
        entering = add_value(entering, keys[chunk - 1 - n], n, values[chunk - 1 - n], decay)
        found += (entering,)
    return found


@triton.jit
def mean(past, future, key, value, decay, bonus, n, chunk: tl.constexpr):
    """Of all values, for token n of a chunk."""
    past_place, future_place = past.place - (n - 1), future.place - (chunk - 2 - n)
    between = (past.key - future.key) + decay * (past_place - future_place)
    to_past = (past.key - key) + (decay * past_place - bonus)
    to_future = (future.key - key) + (decay * future_place - bonus)
    before = tl.exp(tl.minimum(tl.minimum(between, to_past), 0.0))
    after = tl.exp(tl.minimum(tl.minimum(-between, to_future), 0.0))
    own = tl.exp(tl.minimum(tl.minimum(-to_past, -to_future), 0.0))
    inverse = 1.0 / (before * past.second + after * future.second + own)
    y = (before * past.first + after * future.first + own * value) * inverse
    is_past, is_own = (between >= 0.0) & (to_past >= 0.0), to_future < 0.0
    return Mean(
        y,
        tl.where(is_past, past.key, tl.where(is_own, key, future.key)),
        tl.where(is_past, past_place, tl.where(is_own, 0.0, future_place)),
        tl.where(is_past, 0.0, tl.where(is_own, bonus, 0.0)),
        inverse,
        own,
    )


@triton.jit(do_not_specialize=["length"])
def wkv_outputs(
    w, u, k, v, states, out, k_batch, k_token, v_batch, v_token, length, dim, chunk: tl.constexpr, block: tl.constexpr
):
    """Grid: (chunks, blocks of channels, batch)."""
    at = place_of(tl.program_id(0), tl.num_programs(0), tl.program_id(2), tl.num_programs(2), dim, block)
    decay, bonus = load_row(w, at), load_row(u, at)
    keys = load_tokens(k, k_batch, k_token, length, at, EMPTY, chunk)
    values = load_tokens(v, v_batch, v_token, length, at, 0.0, chunk)
    futures = sums_after(keys, values, load_sums(states, at, 1, WITHOUT_BONUS), decay, chunk)
    past = load_sums(states, at, 0, WITHOUT_BONUS)
    for n in tl.static_range(chunk):
        found = mean(past, named(futures[chunk - 1 - n]), keys[n], values[n], decay, bonus, n, chunk)
        store_token(out, at.chunk * chunk + n, length, at, found.y)
        past = add_value(past, keys[n], n, values[n], decay)
