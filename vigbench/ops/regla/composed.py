"""ReGLA composed of three parts: features, log-decays, and GLA's own forward and backward between them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vigbench.ops.regla.features import (
    KEYS,
    QUERIES,
    features,
    log_decay_of,
    through_features,
    through_log_decay,
)


class Composed(NamedTuple):
    """The two passes around GLA's `gla_forward` and `gla_backward`, in the dtype that they sum in."""

    gla_forward: Callable[..., Tensor]
    gla_backward: Callable[..., list[Tensor]]
    dtype_of: Callable[[torch.dtype], torch.dtype]

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        x_fwd: Tensor | None,
        y_fwd: Tensor | None,
        x_bwd: Tensor | None,
        y_bwd: Tensor | None,
        scale: float,
    ) -> Tensor:
        """scale * (sum over the directions that are given)."""
        if v.numel() == 0:
            return v.new_empty(v.shape)
        dtype = self.dtype_of(v.dtype)
        gates = log_decay_of(x_fwd, y_fwd, dtype), log_decay_of(x_bwd, y_bwd, dtype)
        return self.gla_forward(features(q.to(dtype), QUERIES), features(k.to(dtype), KEYS), v, *gates, scale)

    def backward(
        self,
        grad: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        x_fwd: Tensor | None,
        y_fwd: Tensor | None,
        x_bwd: Tensor | None,
        y_bwd: Tensor | None,
        scale: float,
    ) -> list[Tensor]:
        """Gradients of all tensors that are given, in their dtypes."""
        given = [x for x in (q, k, v, x_fwd, y_fwd, x_bwd, y_bwd) if x is not None]
        if v.numel() == 0:
            return [x.new_empty(x.shape) for x in given]
        dtype = self.dtype_of(v.dtype)
        q, k = q.to(dtype), k.to(dtype)
        mapped = features(q, QUERIES), features(k, KEYS)
        gates = log_decay_of(x_fwd, y_fwd, dtype), log_decay_of(x_bwd, y_bwd, dtype)
        dq, dk, dv, *d_gates = self.gla_backward(grad, *mapped, v, *gates, scale)
        found = [through_features(dq, q, mapped[0], QUERIES), through_features(dk, k, mapped[1], KEYS), dv]
        left = iter(d_gates)
        for x, y in ((x_fwd, y_fwd), (x_bwd, y_bwd)):
            if x is not None and y is not None:
                found += through_log_decay(next(left), x.to(dtype), y.to(dtype))
        return [x.to(like.dtype).contiguous() for x, like in zip(found, given, strict=True)]
