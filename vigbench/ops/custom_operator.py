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
    """The multiply-adds of an operator and of its backward: the algorithm's, and those that are really executed.

    `special`: exponentials and the like, by the definition; a backward needs as many.
    """

    algorithmic: MacsFormula
    executed: MacsFormula
    algorithmic_backward: MacsFormula
    executed_backward: MacsFormula
    special: MacsFormula | None = None


def define_operator(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward | None,
    cost: CostFormulas,
    schema: str,
    result: Callable[..., Tensor] = lambda *inputs: _empty_like(inputs[2]),
    added: bool = False,
) -> OpOverload:
    """Make torch.ops.vigbench.<name>, and <name>_backward where there is one, from functions on real tensors.

    Of the arguments in `schema` tensors come first, then numbers and switches. `result(*arguments)` is an empty tensor
    of the result's shape and dtype, by default like the third tensor.
    `backward(grad, *arguments)` returns new tensors: the gradient of each tensor given. With `added` the last tensor,
    where there is one, is just added to the result: its gradient is `grad`, and `backward` does not get it.
    """
    operator = torch.library.custom_op(
        f"vigbench::{name}", _without_autocast(forward), mutates_args=(), schema=f"({schema}) -> Tensor"
    )
    operator.register_fake(result)
    packet = getattr(torch.ops.vigbench, name)
    register_cost(packet, macs=cost.algorithmic, executed_macs=cost.executed, special=cost.special)
    if backward is not None:
        _define_backward(operator, name, backward, cost, schema, added)
    overload: OpOverload = packet.default
    return overload


def _define_backward(
    operator: CustomOpDef, name: str, backward: Backward, cost: CostFormulas, schema: str, added: bool
) -> None:
    parameters = schema.split(", ")
    is_added = [False] * len(parameters)
    is_added[max(n for n, one in enumerate(parameters) if one.startswith("Tensor"))] = added
    given = ", ".join(one for one, left_out in zip(parameters, is_added, strict=True) if not left_out)
    gradient = torch.library.custom_op(
        f"vigbench::{name}_backward",
        _without_autocast(backward),
        mutates_args=(),
        schema=f"(Tensor grad, {given}) -> Tensor[]",
    )
    gradient.register_fake(lambda _, *inputs: [_empty_like(x) for x in inputs if isinstance(x, Tensor)])

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001  torch's signature
        ctx.numbers = [x for x in inputs if isinstance(x, int | float)]
        tensors = inputs[: len(inputs) - len(ctx.numbers)]
        ctx.is_added = added and tensors[-1] is not None
        ctx.save_for_backward(*(x for x, left_out in zip(tensors, is_added, strict=False) if not left_out))

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        grads = iter(gradient(grad, *tensors, *ctx.numbers))
        beside = (grad if ctx.is_added else None,) if added else ()
        return (*(None if x is None else next(grads) for x in tensors), *beside, *(None for _ in ctx.numbers))

    operator.register_autograd(differentiate, setup_context=setup_context)
    packet, special = getattr(torch.ops.vigbench, f"{name}_backward"), cost.special
    register_cost(
        packet,
        macs=cost.algorithmic_backward,
        executed_macs=cost.executed_backward,
        special=None if special is None else lambda _, *arguments: special(*arguments),
    )


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
