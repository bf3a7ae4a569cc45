"""Causal linear attention as it is defined, token by token, in float64 for float32 inputs."""

import torch
from torch import Tensor

from vigbench.ops.causal_linear_attention.cost import causal_macs, three_times
from vigbench.ops.causal_linear_attention.operator import define_causal_linear_attention, gradients_by
from vigbench.ops.precision import accumulation_dtype


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float, reverse: bool) -> Tensor:
    q_, k_, v_ = (x.to(accumulation_dtype(v.dtype)) for x in (q, k, v))
    out = torch.empty(v.shape, dtype=v_.dtype, device=v.device)
    state = q_.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    tokens = range(q.shape[1])
    for t in reversed(tokens) if reverse else tokens:
        state.addcmul_(k_[:, t].unsqueeze(-1), v_[:, t].unsqueeze(-2))
        out[:, t] = torch.matmul(q_[:, t].unsqueeze(-2), state).squeeze(-2)
    return out.mul_(scale).to(v.dtype)


reference = define_causal_linear_attention(
    "reference", _attend, gradients_by(_attend), causal_macs, three_times(causal_macs)
)
