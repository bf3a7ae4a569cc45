"""The operator as PyTorch sees it: one schema, shape inference, autograd and cost for every implementation of GLA."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch._library.custom_ops import CustomOpDef

from vigbench.ops.cost import MacsFormula, register_cost
from vigbench.ops.gla.cost import gla_macs, gla_macs_backward

Backward = Callable[..., list[Tensor]]
SCHEMA = "Tensor q, Tensor k, Tensor v, Tensor? g_fwd, Tensor? g_bwd, float scale"


class Operator(Protocol):
    """scale * (sum over the directions whose log-decays are given), (batch, length, heads, dim), dtype of v."""

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float, /
    ) -> Tensor: ...


class Cost(NamedTuple):
    """Multiply-adds of an operator and of its backward: the algorithm's, and those that are really executed."""

    executed: MacsFormula
    executed_backward: MacsFormula | None = None
    algorithmic: MacsFormula = gla_macs
    algorithmic_backward: MacsFormula = gla_macs_backward


def define_operator(
    name: str, forward: Callable[..., Tensor], backward: Backward | None, cost: Cost, schema: str = SCHEMA
) -> Operator:
    """Make torch.ops.vigbench.<name>, and <name>_backward where there is one, from functions on real tensors.

    Of the arguments in `schema` tensors come first, v third; the result is like v. `backward(grad, *arguments)`
    returns new tensors: the gradient of each tensor given.
    """
    operator = torch.library.custom_op(
        f"vigbench::{name}", _without_autocast(forward), mutates_args=(), schema=f"({schema}) -> Tensor"
    )
    operator.register_fake(lambda *inputs: _empty_like(inputs[2]))
    packet = getattr(torch.ops.vigbench, name)
    register_cost(packet, macs=cost.algorithmic, executed_macs=cost.executed)
    if backward is not None:
        _define_backward(operator, name, backward, cost, schema)
    overload: Operator = packet.default
    return overload


def _define_backward(operator: CustomOpDef, name: str, backward: Backward, cost: Cost, schema: str) -> None:
    gradient = torch.library.custom_op(
        f"vigbench::{name}_backward",
        _without_autocast(backward),
        mutates_args=(),
        schema=f"(Tensor grad, {schema}) -> Tensor[]",
    )
    gradient.register_fake(lambda _, *inputs: [_empty_like(x) for x in inputs if isinstance(x, Tensor)])

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001  torch's signature
        ctx.numbers = [x for x in inputs if isinstance(x, float)]
        ctx.save_for_backward(*inputs[: len(inputs) - len(ctx.numbers)])

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        grads = iter(gradient(grad, *tensors, *ctx.numbers))
        return (*(None if x is None else next(grads) for x in tensors), *(None for _ in ctx.numbers))

    operator.register_autograd(differentiate, setup_context=setup_context)
    assert cost.executed_backward is not None
    packet = getattr(torch.ops.vigbench, f"{name}_backward")
    register_cost(packet, macs=cost.algorithmic_backward, executed_macs=cost.executed_backward)


def _without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """Autocast would round the float32 sums inside to half precision."""

    def run(*args: Any) -> Any:
        with torch.autocast(args[0].device.type, enabled=False):
            return function(*args)

    return run


def _empty_like(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)
