"""A convolution whose result changes nothing: what it costs by the model's definition, and no work."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.cost import register_cost


def instead_of_convolution(result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`result`, where a convolution of x with padding to the same size would be computed and then lost.

    Counted, it costs what the convolution does; executed, nothing. No gradient reaches x and weight.

    Args:
        result: what there is instead, any shape.
        x: (batch, in, *size), of which only the shape counts.
        weight: (out, in, *kernel).
    """
    return torch.ops.vigbench.convolution_skipped(result, x.detach(), weight.detach())  # type: ignore[no-any-return]


@torch.library.custom_op("vigbench::convolution_skipped", mutates_args=())
def _skipped(result: Tensor, x: Tensor, weight: Tensor) -> Tensor:  # noqa: ARG001  their shapes are what is counted
    return result.clone()


@_skipped.register_fake
def _(result: Tensor, x: Tensor, weight: Tensor) -> Tensor:  # noqa: ARG001
    return torch.empty_like(result)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Nothing is kept."""


def _macs(result: Any, x: tuple[int, ...], weight: tuple[int, ...], **_: Any) -> int:  # noqa: ARG001
    return x[0] * prod(x[2:]) * prod(weight)


_skipped.register_autograd(lambda _ctx, grad: (grad, None, None), setup_context=_setup)
register_cost(torch.ops.vigbench.convolution_skipped, macs=_macs, executed_macs=lambda *_shapes, **_more: 0)
