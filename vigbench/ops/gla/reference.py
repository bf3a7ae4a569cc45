"""Gated linear attention as it is defined: one token at a time.

Decay, write, read (GLA, arXiv 2312.06635, equation 3), in float64 for float32 inputs, since this is the yardstick.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vigbench.ops.gla.cost import recurrent_macs_backward
from vigbench.ops.gla.operator import define_gla
from vigbench.ops.precision import accumulation_dtype


def _forward(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    q_, k_, v_ = _by_token(q, v), _by_token(k, v), _by_token(v, v)
    out = torch.zeros_like(v_)
    for g, order in _directions(g_fwd, g_bwd):
        decay = _by_token(g, v).exp_()
        state = _empty_state(k_, v_)
        for t in order:
            _step(state, decay[t], k_[t], v_[t])
            out[t] += _read(q_[t], state)
    return out.mul_(scale).permute(1, 0, 2, 3).to(v.dtype, memory_format=torch.contiguous_format)


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float
) -> list[Tensor]:
    q_, k_, v_, do = (_by_token(x, v) for x in (q, k, v, grad))
    dq, dk, dv = torch.zeros_like(q_), torch.zeros_like(k_), torch.zeros_like(v_)
    dgs = []
    for g, order in _directions(g_fwd, g_bwd):
        decay, dg = _by_token(g, v).exp_(), torch.zeros_like(k_)
        d_state = _empty_state(k_, v_)
        for t, before, state in _states_backwards(decay, k_, v_, order):
            d_state += q_[t].unsqueeze(-1) * do[t].unsqueeze(-2)
            dq[t] += _read(do[t], state.mT)
            dk[t] += _read(v_[t], d_state.mT)
            dv[t] += _read(k_[t], d_state)
            dg[t] = decay[t] * (before * d_state).sum(-1)
            d_state *= decay[t].unsqueeze(-1)
        dgs.append(dg)
    inputs = [x for x in (q, k, v, g_fwd, g_bwd) if x is not None]
    grads = (x.mul_(scale).permute(1, 0, 2, 3) for x in (dq, dk, dv, *dgs))
    return [x.to(like.dtype).contiguous() for x, like in zip(grads, inputs, strict=True)]


def _directions(g_fwd: Tensor | None, g_bwd: Tensor | None) -> Iterator[tuple[Tensor, range]]:
    if g_fwd is not None:
        yield g_fwd, range(g_fwd.shape[1])
    if g_bwd is not None:
        yield g_bwd, range(g_bwd.shape[1] - 1, -1, -1)


def _by_token(x: Tensor, v: Tensor) -> Tensor:
    """A copy as (length, batch, heads, dim), in the dtype that sums are kept in."""
    return x.permute(1, 0, 2, 3).to(accumulation_dtype(v.dtype), memory_format=torch.contiguous_format, copy=True)


def _empty_state(k: Tensor, v: Tensor) -> Tensor:
    return k.new_zeros(*k.shape[1:], v.shape[-1])


def _step(state: Tensor, decay: Tensor, k: Tensor, v: Tensor) -> None:
    state.mul_(decay.unsqueeze(-1)).addcmul_(k.unsqueeze(-1), v.unsqueeze(-2))


def _read(x: Tensor, state: Tensor) -> Tensor:
    return torch.matmul(x.unsqueeze(-2), state).squeeze(-2)


def _states_backwards(decay: Tensor, k: Tensor, v: Tensor, order: range) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(token, state before it, state after it) from the last step to the first, from sqrt(length) stored states."""
    stride = math.isqrt(len(order)) + 1
    state, stored = _empty_state(k, v), []
    for n, t in enumerate(order):
        if n % stride == 0:
            stored.append(state.clone())
        _step(state, decay[t], k[t], v[t])
    for n in reversed(range(len(stored))):
        tokens = order[n * stride : (n + 1) * stride]
        states = [stored.pop()]
        for t in tokens:
            states.append(states[-1].clone())
            _step(states[-1], decay[t], k[t], v[t])
        for i in reversed(range(len(tokens))):
            yield tokens[i], states[i], states[i + 1]


reference = define_gla("reference", _forward, _backward, executed_backward=recurrent_macs_backward)
