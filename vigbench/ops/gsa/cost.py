"""Multiply-adds of gated slot attention (1 MAC = 2 FLOPs), from shapes (batch, length, heads, dim).

A direction is two passes of gated linear attention with the slots as key channels: one has the keys as its values, one
the values. Functions take the operator's arguments as FlopCounterMode gives them, tensors as shapes; those of a
backward begin with the gradient.
"""

import math
from collections.abc import Sequence
from typing import Any

from vigbench.ops.cost import MacsFormula
from vigbench.ops.gla import cost as gla

Shape = Sequence[int]


def _slots(q: Shape, k: Shape, v: Shape, s_fwd: Shape | None, s_bwd: Shape | None, *_: Any) -> list[Shape]:  # noqa: ARG001  in order
    """The shape of s and g in each direction there is."""
    return [s for s in (s_fwd, s_bwd) if s is not None]


def _passes(of_keys: MacsFormula, of_values: MacsFormula, shapes: tuple[Any, ...]) -> int:
    """Formulas of gated linear attention for the pass over the keys and for that over the values, in all directions."""
    k, v = shapes[1:3]
    return sum(of_keys(s, s, k, s, None) + of_values(s, s, v, s, None) for s in _slots(*shapes))


def gsa_macs(*shapes: Any, **_: Any) -> int:
    """3 L H M (K + V) per image and direction: decay, write and read of both states of M slots."""
    return _passes(gla.gla_macs, gla.gla_macs, shapes)


def gsa_macs_backward(*shapes: Any, **_: Any) -> int:
    """Twice the forward: each product has two gradients. What an implementation recomputes does not count."""
    return 2 * gsa_macs(*shapes[1:])


def gsa_special(*shapes: Any) -> int:
    """A decay, and an exponential of the softmax, for each token, head, slot and direction."""
    return sum(2 * math.prod(s) for s in _slots(*shapes))


def recurrent_macs_backward(*shapes: Any, **_: Any) -> int:
    """M (11 K + 10 V) per token: as gated linear attention's, and the logits once more."""
    k, v = shapes[2:4]
    return sum(math.prod(s) * (11 * k[-1] + 10 * v[-1]) for s in _slots(*shapes[1:]))


def chunk_macs(*shapes: Any, **_: Any) -> int:
    """The chunkwise forward: either pass does what gated linear attention of its sizes does."""
    return _passes(gla.chunk_macs, gla.chunk_macs, shapes)


def chunk_macs_backward(*shapes: Any, **_: Any) -> int:
    """The pass over the keys twice more, for the probabilities and for the gradient of q, and the gradients of both."""
    return _with_gradients(gla.chunk_macs_backward, shapes[1:])


def fused_macs_backward(*shapes: Any, **_: Any) -> int:
    """The same as the Triton kernels do it in half precision."""
    return _with_gradients(gla.fused_macs_backward, shapes[1:])


def _with_gradients(backward: MacsFormula, shapes: tuple[Any, ...]) -> int:
    def gradients(q: Shape, k: Shape, v: Shape, *gates: Shape | None) -> int:
        return backward(v, q, k, v, *gates)

    return _passes(lambda *one: 2 * gla.chunk_macs(*one) + gradients(*one), gradients, shapes)
