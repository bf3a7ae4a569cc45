"""Linear attention by matrix products in plain PyTorch, any device: what one writes without a kernel.

Two products a head, of keys with values and of queries with that. In half precision they are rounded to it, as matrix
products are, so both are means over tokens, which stay in its range whatever the length.
"""

import torch
from torch import Tensor

from vigbench.ops.linear_attention.cost import linear_attention_macs, matmul_macs_backward
from vigbench.ops.linear_attention.operator import EPS, define_linear_attention


def _forward(q: Tensor, k: Tensor, v: Tensor, scale: float, normalised: bool) -> Tensor:
    q_, k_, v_ = (_by_head(x) for x in (q, k, v))
    length = q.shape[1]
    state = _product(k_.mT, v_, 1 / length)
    if not normalised:
        return _by_token(_product(q_, state, scale * length), v)
    return _by_token(torch.bmm(q_, state) / _mean_scores(q_, _mean(k_)), v)


def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, scale: float, normalised: bool) -> list[Tensor]:
    q_, k_, v_, grad_ = (_by_head(x) for x in (q, k, v, grad))
    length = q.shape[1]
    factor = 1.0 if normalised else scale * length
    mean = _mean(k_)
    scores = _mean_scores(q_, mean) if normalised else None
    if scores is not None:
        grad_ = grad_ / scores
    state, state_grad = _product(k_.mT, v_, 1 / length), _product(q_.mT, grad_, 1 / length)
    dq, dk, dv = (
        _product(grad_, state.mT, factor),
        _product(v_, state_grad.mT, factor),
        _product(k_, state_grad, factor),
    )
    if scores is not None:
        scores_grad = -(dq * q_).sum(-1, keepdim=True) / scores
        dq += scores_grad * mean.mT
        dk += _product(q_.mT, scores_grad, 1 / length).mT
    return [_by_token(x, like) for x, like in ((dq, q), (dk, k), (dv, v))]


def _by_head(x: Tensor) -> Tensor:
    """(batch * heads, length, dim)."""
    return x.transpose(1, 2).flatten(0, 1)


def _by_token(x: Tensor, like: Tensor) -> Tensor:
    """The same back in order."""
    batch, length, heads, dim = like.shape
    return x.view(batch, heads, length, dim).transpose(1, 2).contiguous()


def _product(a: Tensor, b: Tensor, factor: float) -> Tensor:
    """factor a b, multiplied before it is rounded."""
    nothing = a.new_zeros(()).expand(a.shape[0], a.shape[1], b.shape[2])
    return torch.baddbmm(nothing, a, b, beta=0, alpha=factor)


def _mean(k: Tensor) -> Tensor:
    """Of all keys, (batch * heads, key_dim, 1)."""
    return k.mean(1).unsqueeze(-1)


def _mean_scores(q: Tensor, mean: Tensor) -> Tensor:
    """Of each query with all keys, (batch * heads, length, 1): what a normalised one is divided by."""
    return torch.bmm(q, mean) + EPS


torch_matmul = define_linear_attention("torch_matmul", _forward, _backward, linear_attention_macs, matmul_macs_backward)
