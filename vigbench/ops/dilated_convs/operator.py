"""The fused branches as PyTorch sees them: schema, shape inference, autograd and cost. What one step keeps for another
are results of the operator: in training the convolutions' outputs, (batch, 3 * channels, depth, height, width), and
their statistics, (batch * 3 * channels, 2) in float32; else nothing."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from vigbench.ops.cost import MacsFormula, register_cost

TAPS = 3 * 27


def _three(*names: str) -> str:
    return ", ".join(f"Tensor {name}{branch}" for name in names for branch in (1, 2, 3))


SCHEMA = (
    f"(Tensor x, {_three('weight', 'bias', 'norm_weight', 'norm_bias', 'slope')}, float eps, bool training) "
    "-> (Tensor, Tensor, Tensor)"
)
BACKWARD_SCHEMA = (
    "(Tensor grad, Tensor y, Tensor statistics, Tensor x, "
    f"{_three('weight', 'norm_weight', 'norm_bias', 'slope')}) -> Tensor[]"
)


def define_dilated_convs(
    name: str,
    forward: Callable[..., tuple[Tensor, Tensor, Tensor]],
    backward: Callable[..., list[Tensor]],
    executed: MacsFormula,
    executed_backward: MacsFormula,
) -> OpOverload:
    """Make torch.ops.vigbench.dilated_convs_<name> and its _backward.

    `backward` gives the gradients of x, weights, norm_weights, norm_biases and slopes; those of biases are zero.
    """
    full = f"dilated_convs_{name}"
    operator = torch.library.custom_op(f"vigbench::{full}", forward, mutates_args=(), schema=SCHEMA)
    operator.register_fake(_fake)
    gradient = torch.library.custom_op(f"vigbench::{full}_backward", backward, mutates_args=(), schema=BACKWARD_SCHEMA)
    gradient.register_fake(lambda grad, y, statistics, *inputs: [one.new_empty(one.shape) for one in inputs])  # noqa: ARG005

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.set_materialize_grads(False)  # of what is kept, which nobody else reads
        ctx.save_for_backward(*output[1:], *inputs[:16])

    def differentiate(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        y, statistics, x, *parameters = ctx.saved_tensors
        biases = parameters[3:6]
        found = gradient(grad, y, statistics, x, *parameters[:3], *parameters[6:])
        return (*found[:4], *map(torch.zeros_like, biases), *found[4:], None, None)

    operator.register_autograd(differentiate, setup_context=setup_context)
    packet, packet_backward = getattr(torch.ops.vigbench, full), getattr(torch.ops.vigbench, f"{full}_backward")
    register_cost(packet, macs=_macs, executed_macs=executed)
    register_cost(packet_backward, macs=_macs_backward, executed_macs=executed_backward)
    overload: OpOverload = packet.default
    return overload


def empty_result(x: Tensor) -> Tensor:
    """(batch, 3 * channels, depth, height, width), contiguous."""
    batch, channels, *sides = x.shape
    return torch.empty(batch, 3 * channels, *sides, dtype=x.dtype, device=x.device)


def empty_statistics(x: Tensor) -> Tensor:
    """Mean and inverse deviation of each of the branches' volumes, (batch * 3 * channels, 2)."""
    return torch.empty(x.shape[0] * 3 * x.shape[1], 2, dtype=torch.float32, device=x.device)


def _fake(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    if rest[-1]:
        return empty_result(x), empty_result(x), empty_statistics(x)
    return empty_result(x), x.new_empty(0), x.new_empty(0)


def _macs(x: Any, *_: Any, **__: Any) -> int:
    return int(TAPS * math.prod(x))


def _macs_backward(grad: Any, y: Any, statistics: Any, x: Any, *_: Any, **__: Any) -> int:  # noqa: ARG001
    return 2 * _macs(x)
