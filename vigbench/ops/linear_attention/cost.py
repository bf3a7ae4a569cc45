"""Multiply-adds of linear attention (1 MAC = 2 FLOPs), from shapes (batch, length, heads, dim).

Functions take the operator's arguments as FlopCounterMode gives them, tensors as shapes; those of a backward begin
with the gradient.
"""

from collections.abc import Sequence
from typing import Any

Shape = Sequence[int]


def linear_attention_macs(q: Shape, k: Shape, v: Shape, scale: float, normalised: bool, **_: Any) -> int:  # noqa: ARG001
    """2 L H K V: outer products of k and v, and what queries read; normalised L H K more, of q with the sum of k."""
    batch, length, heads, key_dim = q
    return batch * length * heads * key_dim * (2 * v[-1] + normalised)


def linear_attention_macs_backward(grad: Shape, *arguments: Any, **_: Any) -> int:  # noqa: ARG001
    """Twice the forward: each product has two gradients. What an implementation recomputes does not count."""
    return 2 * linear_attention_macs(*arguments)


def matmul_macs_backward(grad: Shape, q: Shape, k: Shape, v: Shape, scale: float, normalised: bool, **_: Any) -> int:  # noqa: ARG001
    """Five products of K V a token, one of them anew; normalised four of K more: q with the mean of k, the gradient of
    that number, and what q and k get from it."""
    batch, length, heads, key_dim = q
    return batch * length * heads * key_dim * (5 * v[-1] + 4 * normalised)


def scores_macs(q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:  # noqa: ARG001  in order
    """K + V for each pair of tokens."""
    batch, length, heads, key_dim = q
    return batch * heads * length * length * (key_dim + v[-1])


def scores_macs_backward(grad: Shape, q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:  # noqa: ARG001
    """3 K + 2 V for each pair of tokens: scores anew, their gradients, and those of q, k and v."""
    batch, length, heads, key_dim = q
    return batch * heads * length * length * (3 * key_dim + 2 * v[-1])
