"""Softmax attention as an operator of its own: the two implementations that models switch between."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Attention = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def sdpa(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """softmax(scale q k^T) v by torch's scaled_dot_product_attention, which chooses a backend.

    Args:
        q, k: (batch, length, heads, key_dim); fused backends want key_dim == value_dim.
        v: (batch, length, heads, value_dim), the same dtype.
        scale: factor on the scores.

    Returns:
        Like v.
    """
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)


def eager(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """The same by two matrix products and a softmax, with the scores in memory; arguments as for `sdpa`."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return ((q * scale) @ k.mT).softmax(-1).matmul(v).transpose(1, 2)
