"""Multiply-adds of Bi-WKV (1 MAC = 2 FLOPs), from shapes (channels,) and (batch, length, channels).

Functions take the operator's arguments as FlopCounterMode gives them, tensors as shapes; the last one is v, in a
forward and in a backward. Exponentials, maxima and divisions do not count.
"""

import math
from collections.abc import Callable
from typing import Any

from vigbench.ops.cost import MacsFormula


def biwkv_macs(*shapes: Any, **_: Any) -> int:
    """8 L C per image: decay and add, of numerator and denominator, in two passes over the tokens."""
    return 8 * _tokens(shapes)


def biwkv_macs_backward(*shapes: Any, **_: Any) -> int:
    """Twice the forward: each product has two gradients. What an implementation recomputes does not count."""
    return 16 * _tokens(shapes)


def biwkv_special(*shapes: Any) -> int:
    """Of each token and channel its key's and, with the bonus, its own."""
    return 2 * _tokens(shapes)


def pairs_macs(*shapes: Any, **_: Any) -> int:
    """2 L C per token, by the formula itself: w times each distance, each probability times its value."""
    return 2 * _tokens(shapes) * int(shapes[-1][1])


def pairs_macs_backward(*shapes: Any, **_: Any) -> int:
    """5 L C per token: the forward again, then for each pair what v, the log-weight and w get."""
    return 5 * _tokens(shapes) * int(shapes[-1][1])


def chunked_macs(chunk_size: Callable[[int], int], per_token: int, per_chunk: int) -> MacsFormula:
    """Multiplications of an implementation that works in chunks, for each channel: of the padded length, of its chunks.

    Those of w with places, which all images share, are left out.
    """

    def macs(*shapes: Any, **_: Any) -> int:
        batch, length, channels = shapes[-1]
        size = chunk_size(length)
        return int(batch * channels * -(-length // size) * (size * per_token + per_chunk))

    return macs


def _tokens(shapes: tuple[Any, ...]) -> int:
    return math.prod(shapes[-1])
