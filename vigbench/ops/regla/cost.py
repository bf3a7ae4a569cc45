"""Multiply-adds of ReGLA (1 MAC = 2 FLOPs), from shapes: those of gated linear attention, which it is.

The gate's four multiplies a channel and the feature maps are elementwise, and as GLA's are not counted.
"""

from collections.abc import Callable, Sequence
from typing import Any

from vigbench.ops.gla.cost import gla_macs, gla_macs_backward

Shape = Sequence[int]


def like_gla(macs: Callable[..., int]) -> Callable[..., int]:
    """A formula of GLA's forward for this operator's arguments."""

    def formula(
        q: Shape, k: Shape, v: Shape, x_fwd: Shape | None, _: Any, x_bwd: Shape | None, *__: Any, **___: Any
    ) -> int:
        return macs(q, k, v, x_fwd, x_bwd)

    return formula


def like_gla_backward(macs: Callable[..., int]) -> Callable[..., int]:
    """A formula of GLA's backward for this operator's arguments."""

    def formula(grad: Shape, *shapes: Any, **_: Any) -> int:
        return like_gla(lambda *given: macs(grad, *given))(*shapes)

    return formula


regla_macs = like_gla(gla_macs)
regla_macs_backward = like_gla_backward(gla_macs_backward)


def regla_special(q: Shape, k: Shape, v: Shape, x_fwd: Shape | None, *rest: Any) -> int:  # noqa: ARG001  in order
    """Exponentials by the definition, of each token, head and key channel: two features, two sigmoids a direction."""
    batch, length, heads, key_dim = q
    directions = sum(x is not None for x in (x_fwd, rest[1]))
    return (2 + 2 * directions) * batch * length * heads * key_dim
