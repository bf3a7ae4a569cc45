"""Scalar-decay linear attention as it is defined: one token at a time.

S_t = exp(g_t) S_(t-1) + k_t v_t^T, o_t = q_t S_t (retention, arXiv 2307.08621, equation 3; SSD, arXiv 2405.21060,
section 3), in float64 for float32 inputs, since this is the yardstick.
"""

import torch
from torch import Tensor

from vigbench.ops.gla.recurrence import by_token, directions_of, empty_state, read, states_backwards, take_step
from vigbench.ops.inputs import require_decays
from vigbench.ops.precision import accumulation_dtype
from vigbench.ops.scalar_gla.cost import recurrent_macs_backward, scalar_macs
from vigbench.ops.scalar_gla.heads import spread, sum_groups
from vigbench.ops.scalar_gla.operator import define_scalar_gla


def _forward(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    require_decays(g_fwd, g_bwd)
    q_, k_, v_ = (by_token(x, v) for x in (spread(q, v), spread(k, v), v))
    out = torch.zeros_like(v_)
    for g, order in directions_of(g_fwd, g_bwd):
        decay = by_token(g.unsqueeze(-1), v).exp_()
        state = empty_state(k_, v_)
        for t in order:
            take_step(state, decay[t], k_[t], v_[t])
            out[t] += read(q_[t], state)
    return out.mul_(scale).permute(1, 0, 2, 3).to(v.dtype, memory_format=torch.contiguous_format)


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float
) -> list[Tensor]:
    q_, k_, v_, do = (by_token(x, v) for x in (spread(q, v), spread(k, v), v, grad))
    dq, dk, dv = torch.zeros_like(q_), torch.zeros_like(k_), torch.zeros_like(v_)
    dgs = []
    for g, order in directions_of(g_fwd, g_bwd):
        decay = by_token(g.unsqueeze(-1), v).exp_()
        dg, d_state = torch.zeros_like(decay), empty_state(k_, v_)
        for t, before, state in states_backwards(decay, k_, v_, order):
            d_state += q_[t].unsqueeze(-1) * do[t].unsqueeze(-2)
            dq[t] += read(do[t], state.mT)
            dk[t] += read(v_[t], d_state.mT)
            dv[t] += read(k_[t], d_state)
            dg[t] = decay[t] * (before * d_state).sum((-1, -2)).unsqueeze(-1)
            d_state *= decay[t].unsqueeze(-1)
        dgs.append(dg)
    grads = [x.mul_(scale).permute(1, 0, 2, 3) for x in (dq, dk, dv, *dgs)]
    grads = [sum_groups(grads[0], q), sum_groups(grads[1], k), grads[2], *(dg.squeeze(-1) for dg in grads[3:])]
    inputs = [x for x in (q, k, v, g_fwd, g_bwd) if x is not None]
    return [x.to(like.dtype).contiguous() for x, like in zip(grads, inputs, strict=True)]


reference = define_scalar_gla(
    "reference", _forward, _backward, scalar_macs, recurrent_macs_backward, accumulation_dtype
)
