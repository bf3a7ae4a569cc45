"""Multiply-adds of causal linear attention (1 MAC = 2 FLOPs), from shapes (batch, length, heads, dim).

Functions take the operator's arguments as FlopCounterMode gives them, tensors as shapes; those of a backward begin
with the gradient.
"""

from collections.abc import Callable, Sequence
from typing import Any

from vigbench.ops.gla.chunks import chunk_size

Shape = Sequence[int]


def causal_macs(q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:  # noqa: ARG001  in order
    """2 L H K V: write and read of the recurrence as defined."""
    batch, length, heads, key_dim = q
    return 2 * batch * length * heads * key_dim * v[-1]


def causal_macs_backward(grad: Shape, *arguments: Any, **_: Any) -> int:  # noqa: ARG001
    """Twice the forward: each product has two gradients. What an implementation recomputes does not count."""
    return 2 * causal_macs(*arguments)


def three_times(macs: Callable[..., int]) -> Callable[..., int]:
    """Of a backward: gradients of q, k and v are causal linear attention of the others, as costly as the forward."""

    def count(grad: Shape, *arguments: Any, **_: Any) -> int:  # noqa: ARG001
        return 3 * macs(*arguments)

    return count


def chunk_macs(q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:  # noqa: ARG001
    """In chunks on the padded length: a pair of tokens costs K + V, a token K V twice."""
    batch, length, heads, key_dim = q
    chunk = chunk_size(length)
    tokens = batch * heads * -(-length // chunk) * chunk
    return tokens * (chunk * (key_dim + v[-1]) + 2 * key_dim * v[-1])
