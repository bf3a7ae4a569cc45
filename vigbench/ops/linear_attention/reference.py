"""Linear attention as attention: every score of every pair of tokens, in float64 for float32 inputs.

Query by query, some at once, so that memory does not grow with the square of the length.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vigbench.ops.linear_attention.cost import scores_macs, scores_macs_backward
from vigbench.ops.linear_attention.operator import EPS, define_linear_attention
from vigbench.ops.precision import accumulation_dtype

QUERIES = 256  # at once


def _forward(q: Tensor, k: Tensor, v: Tensor, scale: float, normalised: bool) -> Tensor:
    q_, k_, v_ = (_by_head(x) for x in (q, k, v))
    out = torch.empty_like(v_)
    for some in _queries(q_):
        scores = q_[:, :, some] @ k_.mT
        weights = scores / _normaliser(scores) if normalised else scores * scale
        out[:, :, some] = weights @ v_
    return _by_token(out, v)


def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, scale: float, normalised: bool) -> list[Tensor]:
    q_, k_, v_, grad_ = (_by_head(x) for x in (q, k, v, grad))
    dq, dk, dv = torch.empty_like(q_), torch.zeros_like(k_), torch.zeros_like(v_)
    for some in _queries(q_):
        scores, d_scores = q_[:, :, some] @ k_.mT, grad_[:, :, some] @ v_.mT  # the latter of weights first
        if normalised:
            total = _normaliser(scores)
            weights = scores / total
            d_scores = (d_scores - (d_scores * weights).sum(-1, keepdim=True)) / total
        else:
            weights, d_scores = scores * scale, d_scores * scale
        dq[:, :, some] = d_scores @ k_
        dk += d_scores.mT @ q_[:, :, some]
        dv += weights.mT @ grad_[:, :, some]
    return [_by_token(x, like) for x, like in ((dq, q), (dk, k), (dv, v))]


def _queries(q: Tensor) -> Iterator[slice]:
    for first in range(0, q.shape[2], QUERIES):
        yield slice(first, first + QUERIES)


def _normaliser(scores: Tensor) -> Tensor:
    return scores.sum(-1, keepdim=True) + EPS * scores.shape[-1]


def _by_head(x: Tensor) -> Tensor:
    """(batch, heads, length, dim), in the dtype that sums are kept in."""
    return x.transpose(1, 2).to(accumulation_dtype(x.dtype))


def _by_token(x: Tensor, like: Tensor) -> Tensor:
    return x.transpose(1, 2).to(like.dtype).contiguous()


reference = define_linear_attention("reference", _forward, _backward, scores_macs, scores_macs_backward)
