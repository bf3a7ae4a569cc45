"""The operator as PyTorch sees it: one schema, shape inference, autograd and cost for every implementation of GLA."""

from collections.abc import Callable
from typing import Any, Protocol

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


def define_operator(
    name: str,
    forward: Operator,
    backward: Backward | None,
    *,
    executed_macs: MacsFormula,
    executed_macs_backward: MacsFormula | None = None,
) -> Operator:
    """Make torch.ops.vigbench.<name>, and <name>_backward where there is one, from functions on real tensors.

    `backward(grad, q, k, v, g_fwd, g_bwd, scale)` returns new tensors: the gradients of q, k, v and of each g given.
    """
    operator = torch.library.custom_op(
        f"vigbench::{name}", _without_autocast(forward), mutates_args=(), schema=f"({SCHEMA}) -> Tensor"
    )
    operator.register_fake(lambda *inputs: _empty_like(inputs[2]))
    packet = getattr(torch.ops.vigbench, name)
    register_cost(packet, macs=gla_macs, executed_macs=executed_macs)
    if backward is not None:
        assert executed_macs_backward is not None
        _define_backward(operator, name, backward, executed_macs_backward)
    overload: Operator = packet.default
    return overload


def _define_backward(operator: CustomOpDef, name: str, backward: Backward, executed_macs: MacsFormula) -> None:
    gradient = torch.library.custom_op(
        f"vigbench::{name}_backward",
        _without_autocast(backward),
        mutates_args=(),
        schema=f"(Tensor grad, {SCHEMA}) -> Tensor[]",
    )
    gradient.register_fake(lambda _, *inputs: [_empty_like(x) for x in inputs if isinstance(x, Tensor)])

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001  torch's signature
        *tensors, ctx.scale = inputs
        ctx.save_for_backward(*tensors)

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, g_fwd, g_bwd = ctx.saved_tensors
        dq, dk, dv, *dgs = gradient(grad, q, k, v, g_fwd, g_bwd, ctx.scale)
        dg_fwd = None if g_fwd is None else dgs.pop(0)
        dg_bwd = None if g_bwd is None else dgs.pop(0)
        return dq, dk, dv, dg_fwd, dg_bwd, None

    operator.register_autograd(differentiate, setup_context=setup_context)
    packet = getattr(torch.ops.vigbench, f"{name}_backward")
    register_cost(packet, macs=gla_macs_backward, executed_macs=executed_macs)


def _without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """Autocast would round the float32 sums inside to half precision."""

    def run(*args: Any) -> Any:
        with torch.autocast(args[0].device.type, enabled=False):
            return function(*args)

    return run


def _empty_like(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)
