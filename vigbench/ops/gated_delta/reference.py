"""The gated delta rule by its definition, one token after the other (arXiv 2412.06464, equation 10).

Slow and plain: what every other implementation is compared with. The backward is the chain rule of one step, applied
from the last step to the first; memory grows with the square root of the length, from states that are stored and steps
that are repeated.
"""

import torch
from torch import Tensor

from vigbench.ops.gated_delta.cost import recurrent_macs_backward
from vigbench.ops.gated_delta.operator import DeltaGates, define_delta, directions_of
from vigbench.ops.gla.recurrence import by_token, empty_state, read, walk_back
from vigbench.ops.inputs import require_decays


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
    require_decays(g_fwd, g_bwd)
    q_, out = by_token(q, v), torch.zeros_like(by_token(v, v))
    for gates in directions_of(g_fwd, g_bwd, beta_fwd, beta_bwd):
        steps = _Steps(k, v, gates)
        state = steps.empty_state()
        for t in steps.order:
            steps.take(state, t)
            out[t] += read(q_[t], state)
    return out.mul_(scale).transpose(0, 1).to(v.dtype).contiguous()


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
    q_, do = by_token(q, v), by_token(grad, v)
    dq, dk, dv = (torch.zeros_like(by_token(x, v)) for x in (q, k, v))
    dgs, dbetas = [], []
    for gates in directions_of(g_fwd, g_bwd, beta_fwd, beta_bwd):
        steps = _Steps(k, v, gates)
        dg, dbeta = torch.zeros_like(steps.decay), torch.zeros_like(steps.decay)
        d_state = steps.empty_state()
        for t, before, after in walk_back(steps.order, steps.empty_state(), steps.take):
            k_t, decayed = steps.k[t], before * steps.decay[t].unsqueeze(-1)
            missing = steps.v[t] - read(k_t, decayed)
            d_state += _outer(q_[t], do[t])
            dq[t] += read(do[t], after.mT)
            d_written = read(k_t, d_state)
            d_missing = steps.beta[t] * d_written
            dbeta[t] = (d_written * missing).sum(-1, keepdim=True)
            dv[t] += d_missing
            dk[t] += read(steps.beta[t] * missing, d_state.mT) - read(d_missing, decayed.mT)
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
        self.k, self.v = by_token(k, v), by_token(v, v)
        self.decay, self.beta = (by_token(x.unsqueeze(-1), v) for x in (gates.g, gates.beta))
        self.decay.exp_()
        length = k.shape[1]
        self.order = range(length - 1, -1, -1) if gates.reverse else range(length)

    def empty_state(self) -> Tensor:
        """A state of nothing."""
        return empty_state(self.k, self.v)

    def take(self, state: Tensor, t: int) -> None:
        """Decay the state, and write what it lacks of the token's value under the token's key."""
        state.mul_(self.decay[t].unsqueeze(-1))
        state += _outer(self.k[t], self.beta[t] * (self.v[t] - read(self.k[t], state)))


def _outer(x: Tensor, y: Tensor) -> Tensor:
    return x.unsqueeze(-1) * y.unsqueeze(-2)


reference = define_delta("reference", _forward, _backward, executed_backward=recurrent_macs_backward)
