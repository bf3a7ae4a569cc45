"""Operators as PyTorch sees them: schema, shape inference, autograd and cost, from functions on real tensors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload

from vigbench.ops.cost import MacsFormula, register_cost

Backward = Callable[..., list[Tensor]]
_LIBRARY = torch.library.Library("vigbench", "FRAGMENT")


class Cost(NamedTuple):
    """Multiply-adds of an operator and of its backward: the algorithm's, and those that are really executed."""

    algorithmic: MacsFormula
    executed: MacsFormula
    algorithmic_backward: MacsFormula
    executed_backward: MacsFormula


def define_operator(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward | None,
    cost: Cost,
    schema: str,
    result: Callable[..., Tensor] = lambda *inputs: _empty_like(inputs[2]),
) -> OpOverload:
    """Make torch.ops.vigbench.<name>, and <name>_backward where there is one, from functions on real tensors.

    Of the arguments in `schema` tensors come first, then numbers and switches. `result(*arguments)` is an empty tensor
    of the result's shape and dtype, by default like the third tensor.
    `backward(grad, *arguments)` returns new tensors: the gradient of each tensor given.
    """
    _define(name, f"({schema}) -> Tensor", forward, result)
    packet = getattr(torch.ops.vigbench, name)
    register_cost(packet, macs=cost.algorithmic, executed_macs=cost.executed)
    if backward is None:
        torch.library.register_autograd(f"vigbench::{name}", _no_backward, lib=_LIBRARY)
    else:
        _define_backward(name, backward, cost, schema)
    overload: OpOverload = packet.default
    return overload


def _define_backward(name: str, backward: Backward, cost: Cost, schema: str) -> None:
    _define(
        f"{name}_backward",
        f"(Tensor grad, {schema}) -> Tensor[]",
        backward,
        lambda _, *inputs: [_empty_like(x) for x in inputs if isinstance(x, Tensor)],
    )
    packet = getattr(torch.ops.vigbench, f"{name}_backward")
    register_cost(packet, macs=cost.algorithmic_backward, executed_macs=cost.executed_backward)
    gradient = packet.default

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001  torch's signature
        ctx.numbers = [x for x in inputs if isinstance(x, int | float)]
        ctx.save_for_backward(*inputs[: len(inputs) - len(ctx.numbers)])

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        grads = iter(gradient(grad, *tensors, *ctx.numbers))
        return (*(None if x is None else next(grads) for x in tensors), *(None for _ in ctx.numbers))

    torch.library.register_autograd(f"vigbench::{name}", differentiate, setup_context=setup_context, lib=_LIBRARY)


def _define(name: str, schema: str, function: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """As torch.library.custom_op does, at half its cost to the host for each call (docs/kernels.md)."""
    _LIBRARY.define(name + schema, tags=(torch.Tag.pt2_compliant_tag,))
    _LIBRARY.impl(name, _eager_in_full_precision(function), "CompositeExplicitAutograd")
    torch.library.register_fake(f"vigbench::{name}", fake, lib=_LIBRARY)


def _eager_in_full_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Autocast would round the float32 sums inside to half precision, and torch.compile is not to look inside."""

    def run(*args: Any) -> Any:
        kind = args[0].device.type
        if not torch.is_autocast_enabled(kind):
            return function(*args)
        with torch.autocast(kind, enabled=False):
            return function(*args)

    opaque: Callable[..., Any] = torch.compiler.disable(run)
    return opaque


def _no_backward(ctx: Any, grad: Tensor) -> None:  # noqa: ARG001  torch's signature
    raise RuntimeError("this implementation has no backward: use torch.no_grad() or another implementation")


def _empty_like(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)
