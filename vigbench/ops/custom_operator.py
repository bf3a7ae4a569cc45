"""Operators as PyTorch sees them: schema, shape inference, autograd and cost, from functions on real tensors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._library.custom_ops import CustomOpDef
from torch._ops import OpOverload

from vigbench.ops.cost import MacsFormula, register_cost

Backward = Callable[..., list[Tensor]]


class CostFormulas(NamedTuple):
    """The multiply-adds of an operator and of its backward: the algorithm's, and those that are really executed."""

    algorithmic: MacsFormula
    executed: MacsFormula
    algorithmic_backward: MacsFormula
    executed_backward: MacsFormula


def define_operator(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward | None,
    cost: CostFormulas,
    schema: str,
    result: Callable[..., Tensor] = lambda *inputs: _empty_like(inputs[2]),
) -> OpOverload:
    """Make torch.ops.vigbench.<name>, and <name>_backward where there is one, from functions on real tensors.

    Of the arguments in `schema` tensors come first, then numbers and switches. `result(*arguments)` is an empty tensor
    of the result's shape and dtype, by default like the third tensor.
    `backward(grad, *arguments)` returns new tensors: the gradient of each tensor given.
    """
    operator = torch.library.custom_op(
        f"vigbench::{name}", _without_autocast(forward), mutates_args=(), schema=f"({schema}) -> Tensor"
    )
    operator.register_fake(result)
    packet = getattr(torch.ops.vigbench, name)
    register_cost(packet, macs=cost.algorithmic, executed_macs=cost.executed)
    if backward is not None:
        _define_backward(operator, name, backward, cost, schema)
    overload: OpOverload = packet.default
    return overload


def _define_backward(operator: CustomOpDef, name: str, backward: Backward, cost: CostFormulas, schema: str) -> None:
    gradient = torch.library.custom_op(
        f"vigbench::{name}_backward",
        _without_autocast(backward),
        mutates_args=(),
        schema=f"(Tensor grad, {schema}) -> Tensor[]",
    )
    gradient.register_fake(lambda _, *inputs: [_empty_like(x) for x in inputs if isinstance(x, Tensor)])

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001  torch's signature
        ctx.numbers = [x for x in inputs if isinstance(x, int | float)]
        ctx.save_for_backward(*inputs[: len(inputs) - len(ctx.numbers)])

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        grads = iter(gradient(grad, *tensors, *ctx.numbers))
        return (*(None if x is None else next(grads) for x in tensors), *(None for _ in ctx.numbers))

    operator.register_autograd(differentiate, setup_context=setup_context)
    packet = getattr(torch.ops.vigbench, f"{name}_backward")
    register_cost(packet, macs=cost.algorithmic_backward, executed_macs=cost.executed_backward)


def _without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """Autocast would round the float32 sums inside to half precision."""

    def run(*args: Any) -> Any:
        kind = args[0].device.type
        if not torch.is_autocast_enabled(kind):  # entering a context costs the host as much as an allocation
            return function(*args)
        with torch.autocast(kind, enabled=False):
            return function(*args)

    return run


def _empty_like(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)
