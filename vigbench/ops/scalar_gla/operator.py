"""The one form that every implementation of scalar-decay linear attention has, and SSD in terms of it."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator
from vigbench.ops.inputs import require_decays
from vigbench.ops.scalar_gla.cost import (
    core_shapes,
    scalar_macs,
    scalar_macs_backward,
    scalar_special,
    ssd_elementwise_macs,
)

SCHEMA = "Tensor q, Tensor k, Tensor v, Tensor? g_fwd, Tensor? g_bwd, float scale"
SSD_SCHEMA = "Tensor x, Tensor dt, Tensor a, Tensor b, Tensor c, Tensor? d, bool reverse"


class ScalarGlaFunction(Protocol):
    """scale * (sum over the directions whose log-decays are given), (batch, length, heads, value_dim), dtype of v.

    q and k are (batch, length, groups, key_dim): head h reads group h // (heads / groups). Log-decays are (batch,
    length, heads).
    """

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float, /
    ) -> Tensor: ...


def define_scalar_gla(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward,
    executed: MacsFormula,
    executed_backward: MacsFormula,
    value_dtype: Callable[[torch.dtype], torch.dtype],
) -> ScalarGlaFunction:
    """An implementation as torch.ops.vigbench.scalar_gla_<name>, and its SSD as scalar_gla_<name>_ssd.

    `executed`: the multiply-adds that it really does. `value_dtype`: what it takes an SSD's values dt x in, from the
    dtype of x.
    """
    cost = CostFormulas(scalar_macs, executed, scalar_macs_backward, executed_backward, scalar_special)
    operator: ScalarGlaFunction = define_operator(f"scalar_gla_{name}", forward, backward, cost, SCHEMA)
    _define_ssd(name, forward, backward, cost, value_dtype)
    return operator


def _define_ssd(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward,
    core: CostFormulas,
    value_dtype: Callable[[torch.dtype], torch.dtype],
) -> None:
    def run(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor | None, reverse: bool) -> Tensor:
        v, g = ssd_values(x, dt, a, value_dtype(x.dtype))
        require_decays(g, advice="for an SSD pass dt > 0 and a < 0")
        out = forward(c, b, v, *ssd_directions(g, reverse), 1.0)
        return out.to(x.dtype) if d is None else with_skip(out, x, d)

    def differentiate(
        grad: Tensor, x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor | None, reverse: bool
    ) -> list[Tensor]:
        v, g = ssd_values(x, dt, a, value_dtype(x.dtype))
        dc, db, dv, dg = backward(grad.to(v.dtype), c, b, v, *ssd_directions(g, reverse), 1.0)
        dx = dv * dt.unsqueeze(-1)
        d_dt = torch.linalg.vecdot(dv.to(g.dtype), x.to(g.dtype)).addcmul_(dg, a.to(g.dtype))
        grads = [dx, d_dt, (dg * dt).sum((0, 1)), db, dc]
        inputs = [x, dt, a, b, c]
        if d is not None:
            grads[0] = with_skip(dx, grad, d)
            grads.append(torch.linalg.vecdot(grad.to(g.dtype), x.to(g.dtype)).sum((0, 1)))
            inputs.append(d)
        return [one.to(like.dtype).contiguous() for one, like in zip(grads, inputs, strict=True)]

    define_operator(
        f"scalar_gla_{name}_ssd", run, differentiate, _ssd_cost(core), SSD_SCHEMA, lambda x, *_: x.new_empty(x.shape)
    )


def ssd_values(x: Tensor, dt: Tensor, a: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The recurrence's values dt x, in a dtype, and its log-decays dt a, in float32 or the dtype if that is wider."""
    wide = torch.promote_types(dtype, torch.float32)
    return (x.to(wide) * dt.unsqueeze(-1)).to(dtype), dt.to(wide) * a.to(wide)


def with_skip(out: Tensor, x: Tensor, d: Tensor) -> Tensor:
    """out + d x in the dtype of x, rounded once."""
    return torch.addcmul(out, x, d.unsqueeze(-1)).to(x.dtype)


def ssd_directions(g: Tensor, reverse: bool) -> tuple[Tensor | None, Tensor | None]:
    """Log-decays of the forward and of the backward direction, of which there is one."""
    return (None, g) if reverse else (g, None)


def _ssd_cost(core: CostFormulas) -> CostFormulas:
    """L H (2 P + 1) more than the recurrence; without d one P less. Twice that backward, which computes dt x anew."""

    def macs(formula: MacsFormula) -> MacsFormula:
        return lambda *args, **_: formula(*core_shapes(*args)) + ssd_elementwise_macs(args[0], args[5])

    def macs_backward(formula: MacsFormula, anew: int) -> MacsFormula:
        def count(grad: Any, *args: Any, **_: Any) -> int:
            twice = 2 * ssd_elementwise_macs(args[0], args[5])
            return formula(grad, *core_shapes(*args)) + twice + anew * ssd_elementwise_macs(args[0], None)

        return count

    return CostFormulas(
        macs(core.algorithmic),
        macs(core.executed),
        macs_backward(core.algorithmic_backward, 0),
        macs_backward(core.executed_backward, 1),
        lambda *args: scalar_special(*core_shapes(*args)),
    )
