"""The gated delta rule by its definition, one token after the other (arXiv 2412.06464, equation 10).

Slow and plain: what every other implementation is compared with. The backward is the chain rule of one step, applied
from the last step to the first; memory grows with the square root of the length, from states that are stored and steps
that are repeated.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vigbench.ops.gated_delta.cost import recurrent_macs_backward
from vigbench.ops.gated_delta.operator import DeltaGates, define_delta, directions_of
from vigbench.ops.precision import accumulation_dtype


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    beta_fwd: Tensor | None,
    beta_bwd: Tensor | None,
    scale: float,
) -> Tensor:
    q_, out = _by_token(q, v), torch.zeros_like(_by_token(v, v))
    for gates in directions_of(g_fwd, g_bwd, beta_fwd, beta_bwd):
        steps = _Steps(k, v, gates)
        state = steps.empty_state()
        for t in steps.order:
            steps.take(state, t)
            out[t] += _read(q_[t], state)
    return out.mul_(scale).transpose(0, 1).to(v.dtype, memory_format=torch.contiguous_format)


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    beta_fwd: Tensor | None,
    beta_bwd: Tensor | None,
    scale: float,
) -> list[Tensor]:
    q_, do = _by_token(q, v), _by_token(grad, v)
    dq, dk, dv = (torch.zeros_like(_by_token(x, v)) for x in (q, k, v))
    dgs, dbetas = [], []
    for gates in directions_of(g_fwd, g_bwd, beta_fwd, beta_bwd):
        steps = _Steps(k, v, gates)
        dg, dbeta = torch.zeros_like(steps.decay), torch.zeros_like(steps.decay)
        d_state = steps.empty_state()
        for t, before, after in _states_backwards(steps):
            k_t, decayed = steps.k[t], before * steps.decay[t].unsqueeze(-1)
            missing = steps.v[t] - _read(k_t, decayed)
            d_state += _outer(q_[t], do[t])
            dq[t] += _read(do[t], after.mT)
            d_written = _read(k_t, d_state)
            d_missing = steps.beta[t] * d_written
            dbeta[t] = (d_written * missing).sum(-1, keepdim=True)
            dv[t] += d_missing
            dk[t] += _read(steps.beta[t] * missing, d_state.mT) - _read(d_missing, decayed.mT)
            d_state -= _outer(k_t, d_missing)
            dg[t] = (decayed * d_state).sum((-1, -2)).unsqueeze(-1)
            d_state *= steps.decay[t].unsqueeze(-1)
        dgs.append(dg)
        dbetas.append(dbeta)
    inputs = [x for x in (q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd) if x is not None]
    grads = (x.mul_(scale).transpose(0, 1) for x in (dq, dk, dv, *dgs, *dbetas))
    return [x.reshape(like.shape).to(like.dtype).contiguous() for x, like in zip(grads, inputs, strict=True)]


class _Steps:
    """The recurrence of one direction; a state is (batch, heads, key_dim, value_dim)."""

    def __init__(self, k: Tensor, v: Tensor, gates: DeltaGates) -> None:
        self.k, self.v = _by_token(k, v), _by_token(v, v)
        self.decay, self.beta = (_by_token(x.unsqueeze(-1), v) for x in (gates.g, gates.beta))
        self.decay.exp_()
        length = k.shape[1]
        self.order = range(length - 1, -1, -1) if gates.reverse else range(length)

    def empty_state(self) -> Tensor:
        """A state of nothing."""
        return self.k.new_zeros(*self.k.shape[1:], self.v.shape[-1])

    def take(self, state: Tensor, t: int) -> None:
        """Decay the state, and write what it lacks of the token's value under the token's key."""
        state.mul_(self.decay[t].unsqueeze(-1))
        state += _outer(self.k[t], self.beta[t] * (self.v[t] - _read(self.k[t], state)))


def _by_token(x: Tensor, v: Tensor) -> Tensor:
    """A copy as (length, batch, heads, dim), in the dtype that sums are kept in."""
    return x.transpose(0, 1).to(accumulation_dtype(v.dtype), memory_format=torch.contiguous_format, copy=True)


def _outer(x: Tensor, y: Tensor) -> Tensor:
    return x.unsqueeze(-1) * y.unsqueeze(-2)


def _read(x: Tensor, state: Tensor) -> Tensor:
    return torch.matmul(x.unsqueeze(-2), state).squeeze(-2)


def _states_backwards(steps: _Steps) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(token, state before it, state after it) from the last step to the first, from sqrt(length) stored states."""
    order = steps.order
    stride = math.isqrt(len(order)) + 1
    state, stored = steps.empty_state(), []
    for n, t in enumerate(order):
        if n % stride == 0:
            stored.append(state.clone())
        steps.take(state, t)
    for n in reversed(range(len(stored))):
        tokens = order[n * stride : (n + 1) * stride]
        states = [stored.pop()]
        for t in tokens:
            states.append(states[-1].clone())
            steps.take(states[-1], t)
        for i in reversed(range(len(tokens))):
            yield tokens[i], states[i], states[i + 1]


reference = define_delta("reference", _forward, _backward, executed_backward=recurrent_macs_backward)
