"""Softmax attention to keys that come block by block (online softmax, FlashAttention, arXiv 2205.14135).

Plain matrix products, summed in float32 (float64 for float64); memory is linear in the number of queries and of keys.
Tensors are (batch, heads, length, dim).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

KEYS = 512  # at a time


class BlockwiseAttention:
    """The output of some queries, scaled already, while blocks of keys and values arrive in any order.

    Every query has to see a key of the first block.
    """

    def __init__(self, q: Tensor, value_dim: int) -> None:
        self.q = q
        self.out = q.new_zeros(*q.shape[:-1], value_dim)
        self.lse = q.new_full(q.shape[:-1], -torch.inf)  # logarithm of the sum of exp(score)

    def add(self, k: Tensor, v: Tensor, causal: bool = False) -> None:
        """See another block; with `causal` these are the keys of the queries' own tokens."""
        for keys in _slices(k.shape[2]):
            scores = _scores(self.q, k, keys, causal)
            lse = torch.logaddexp(self.lse, scores.logsumexp(-1))
            weights = scores.sub_(lse.unsqueeze(-1)).exp_()
            self.out.mul_((self.lse - lse).exp_().unsqueeze(-1)).add_(weights @ v[:, :, keys])
            self.lse = lse


class BlockwiseGradients:
    """The gradient of the queries (scaled already), and of each block of keys and values as it arrives."""

    def __init__(self, q: Tensor, out: Tensor, lse: Tensor, grad: Tensor) -> None:
        self.q, self.lse, self.grad = q, lse, grad
        self.delta = (out * grad).sum(-1, keepdim=True)
        self.dq = torch.zeros_like(q)

    def add(self, k: Tensor, v: Tensor, causal: bool = False) -> tuple[Tensor, Tensor]:
        """The gradients of one block's keys and values."""
        dk, dv = torch.empty_like(k), torch.empty_like(v)
        for keys in _slices(k.shape[2]):
            weights = _scores(self.q, k, keys, causal).sub_(self.lse.unsqueeze(-1)).exp_()
            dv[:, :, keys] = weights.mT @ self.grad
            d_scores = (self.grad @ v[:, :, keys].mT).sub_(self.delta).mul_(weights)
            dk[:, :, keys] = d_scores.mT @ self.q
            self.dq += d_scores @ k[:, :, keys]
        return dk, dv


def _slices(length: int) -> Iterator[slice]:
    for start in range(0, length, KEYS):
        yield slice(start, min(start + KEYS, length))


def _scores(q: Tensor, k: Tensor, keys: slice, causal: bool) -> Tensor:
    scores = q @ k[:, :, keys].mT
    if causal:
        key = torch.arange(keys.start, keys.stop, device=q.device)
        scores.masked_fill_(key > torch.arange(q.shape[2], device=q.device).unsqueeze(-1), -torch.inf)
    return scores
