"""Softmax attention as an operator of its own, by torch's code: eager, and fused with or without a pinned backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from vigbench.ops.attention.refusal import or_unsupported

P = ParamSpec("P")
T = TypeVar("T")
Attention = Callable[..., Tensor]
BACKENDS = {
    "sdpa_flash": SDPBackend.FLASH_ATTENTION,
    "sdpa_efficient": SDPBackend.EFFICIENT_ATTENTION,
    "sdpa_cudnn": SDPBackend.CUDNN_ATTENTION,
    "sdpa_math": SDPBackend.MATH,
}


def sdpa(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False) -> Tensor:
    """softmax(scale q k^T) v by torch's scaled_dot_product_attention, which chooses a backend.

    Args:
        q, k: (batch, length, heads, key_dim); fused backends want key_dim == value_dim.
        v: (batch, length, heads, value_dim), the same dtype.
        scale: factor on the scores.
        causal: whether a token sees only itself and those before it.

    Returns:
        Like v.
    """
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=scale, is_causal=causal).transpose(1, 2)


def pinned(name: str, function: Callable[P, T]) -> Callable[P, T]:
    """`function` with scaled_dot_product_attention held to one of `BACKENDS`.

    Raises:
        UnsupportedError: on a call, if that backend has no kernel for it; the message says why.
    """
    backend = BACKENDS[name]

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with sdpa_kernel(backend):
            return function(*args, **kwargs)

    return or_unsupported(name, call)


sdpa_flash = pinned("sdpa_flash", sdpa)
sdpa_efficient = pinned("sdpa_efficient", sdpa)
sdpa_cudnn = pinned("sdpa_cudnn", sdpa)
sdpa_math = pinned("sdpa_math", sdpa)


def eager(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False) -> Tensor:
    """The same by two matrix products and a softmax, with the scores in memory; arguments as for `sdpa`."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    scores = (q * scale) @ k.mT
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    return scores.softmax(-1).matmul(v).transpose(1, 2)
