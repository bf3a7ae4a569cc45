"""Causal linear attention in Triton: the kernels of linear attention with one decay per head, which is zero."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.causal_linear_attention.operator import define_causal_linear_attention
from vigbench.ops.precision import refuse_float64
from vigbench.ops.scalar_gla import cost
from vigbench.ops.scalar_gla import triton_fused as scalar_gla


def _forward(q: Tensor, k: Tensor, v: Tensor, scale: float, reverse: bool) -> Tensor:
    refuse_float64(v, "use torch_chunk")
    return scalar_gla._forward(q, k, v, *_no_decay(v, reverse), scale)


def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, scale: float, reverse: bool) -> list[Tensor]:
    return scalar_gla._backward(grad, q, k, v, *_no_decay(v, reverse), scale)[:3]


def _no_decay(v: Tensor, reverse: bool) -> tuple[Tensor | None, Tensor | None]:
    """One zero for all tokens and heads, as the log-decay of the one direction there is."""
    zero = torch.zeros((), device=v.device).expand(v.shape[:3])
    return (None, zero) if reverse else (zero, None)


def _of_scalar_gla(macs: Callable[..., int]) -> Callable[..., int]:
    """A formula of that operator's for this one's arguments, of which the last three are v, the scale and the sense."""

    def count(*arguments: Any, **_: Any) -> int:
        *tensors, scale, _reverse = arguments
        return macs(*tensors, tensors[-1][:3], None, scale)

    return count


triton_fused = define_causal_linear_attention(
    "triton_fused", _forward, _backward, _of_scalar_gla(cost.fused_macs), _of_scalar_gla(cost.fused_macs_backward)
)
