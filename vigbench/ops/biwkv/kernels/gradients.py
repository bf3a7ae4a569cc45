"""Backward: gradients of a chunk, from the sums of values and the sums of gradients that enter it from both sides.

With p_ti the weights, y the output and g its gradient, v_i gets sum_t p_ti g_t, and a pair's log-weight gets
p_ti g_t (v_i - y_t). So what a token gets are sums over the others again: of g_t and of g_t y_t, with the weights of
the forward pass, whose keys now are minus the log-weights that t divides by.
"""

from typing import Any  # noqa: F401  in a type comment: Triton takes no annotation

import triton
import triton.language as tl

from vigbench.ops.biwkv.kernels.outputs import load_tokens, mean, sums_after
from vigbench.ops.biwkv.kernels.sums import (
    EMPTY,
    WITH_BONUS,
    WITHOUT_BONUS,
    Sums,
    add,
    add_value,
    load_row,
    load_sums,
    moved,
    named,
    no_sums,
    place_of,
    store_sums,
    store_token,
)


@triton.jit
def _gradient_token(found, grad, token, length):
    """What a token adds to the sums of gradients, as if it were at place 0."""
    share = found.inverse * grad
    return Sums(tl.where(token < length, -found.key, EMPTY), -found.place, -found.bonus, share, share * found.y)


@triton.jit(do_not_specialize=["length"])
def wkv_gradient_states(
    w, u, k, v, grad, states, gradient_states, k_batch, k_token, v_batch, v_token, grad_batch, grad_token, length, dim,
    chunk: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """What each chunk adds for the chunks after it and before it. Grid: (chunks, blocks of channels, batch)."""
    at = place_of(tl.program_id(0), tl.num_programs(0), tl.program_id(2), tl.num_programs(2), dim, block)
    decay, bonus = load_row(w, at), load_row(u, at)
    keys = load_tokens(k, k_batch, k_token, length, at, EMPTY, chunk)
    values = load_tokens(v, v_batch, v_token, length, at, 0.0, chunk)
    grads = load_tokens(grad, grad_batch, grad_token, length, at, 0.0, chunk)
    futures = sums_after(keys, values, load_sums(states, at, 1, WITHOUT_BONUS), decay, chunk)
    past = load_sums(states, at, 0, WITHOUT_BONUS)
    before, after = no_sums(block), no_sums(block)
    for n in tl.static_range(chunk):
        found = mean(past, named(futures[chunk - 1 - n]), keys[n], values[n], decay, bonus, n, chunk)
        token = _gradient_token(found, grads[n], at.chunk * chunk + n, length)
        before = add(before, moved(token, n - chunk), decay)
        after = add(after, moved(token, -1 - n), decay)
        past = add_value(past, keys[n], n, values[n], decay)
    store_sums(gradient_states, at, 0, before, WITH_BONUS)
    store_sums(gradient_states, at, 1, after, WITH_BONUS)


@triton.jit
def _received(key, value, sums, decay):
    """What a token's value and key get from the outputs on one side, where place 0 is the token's neighbour."""
    weight = tl.exp((key + sums.key) + (decay * sums.place + sums.bonus))
    return weight * sums.first, weight * (value * sums.first - sums.second)


@triton.jit
def _between(values, grads, decay, chunk: tl.constexpr):
    """What a token of a chunk passes on from values on one side to outputs on the other: the gradient of minus w."""
    through = values.first * grads.first - values.second * grads.second
    place = values.place + grads.place - (chunk - 2)
    return through * tl.exp((values.key + grads.key) + (decay * place + grads.bonus))


@triton.jit(do_not_specialize=["length"])
def wkv_gradients(
    w, u, k, v, grad, states, gradient_states, dw, du, dk, dv, k_batch, k_token, v_batch, v_token, grad_batch,
    grad_token, length, dim, chunk: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """dw and du are the chunk's share, (batch, chunks, channels). Grid: (chunks, blocks of channels, batch)."""
    at = place_of(tl.program_id(0), tl.num_programs(0), tl.program_id(2), tl.num_programs(2), dim, block)
    decay, bonus = load_row(w, at), load_row(u, at)
    keys = load_tokens(k, k_batch, k_token, length, at, EMPTY, chunk)
    values = load_tokens(v, v_batch, v_token, length, at, 0.0, chunk)
    grads = load_tokens(grad, grad_batch, grad_token, length, at, 0.0, chunk)
    futures = sums_after(keys, values, load_sums(states, at, 1, WITHOUT_BONUS), decay, chunk)
    past, before = load_sums(states, at, 0, WITHOUT_BONUS), load_sums(gradient_states, at, 0, WITH_BONUS)
    pasts, tokens, dks, dvs = (), (), (), ()  # type: Any, Any, Any, Any
    dw_sum, du_sum = tl.zeros_like(decay), tl.zeros_like(decay)
    for n in tl.static_range(chunk):
        future = named(futures[chunk - 1 - n])
        found = mean(past, future, keys[n], values[n], decay, bonus, n, chunk)
        token = _gradient_token(found, grads[n], at.chunk * chunk + n, length)
        own = found.own * token.first
        own_key = own * (values[n] - found.y)
        from_before, key_from_before = _received(keys[n], values[n], moved(before, 1 - n), decay)
        dw_sum -= _between(future, before, decay, chunk)
        du_sum += own_key
        pasts += (past,)
        tokens += (token,)
        dks += (own_key + key_from_before,)
        dvs += (own + from_before,)
        before = add(before, moved(token, n), decay)
        past = add_value(past, keys[n], n, values[n], decay)
    after = load_sums(gradient_states, at, 1, WITH_BONUS)
    for n in tl.static_range(chunk):
        token = at.chunk * chunk + (chunk - 1 - n)
        key, value = keys[chunk - 1 - n], values[chunk - 1 - n]
        from_after, key_from_after = _received(key, value, moved(after, 1 - n), decay)
        dw_sum -= _between(named(pasts[chunk - 1 - n]), after, decay, chunk)
        store_token(dk, token, length, at, dks[chunk - 1 - n] + key_from_after)
        store_token(dv, token, length, at, dvs[chunk - 1 - n] + from_after)
        after = add(after, moved(named(tokens[chunk - 1 - n]), n), decay)
    share = (at.batch * at.chunks + at.chunk) * dim + at.channels
    tl.store(dw + share, dw_sum, mask=at.valid)
    tl.store(du + share, du_sum, mask=at.valid)
