"""The one form that every implementation of ReGLA has."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator
from vigbench.ops.regla.cost import (
    like_gla,
    like_gla_backward,
    regla_macs,
    regla_macs_backward,
    regla_special,
)

SCHEMA = "Tensor q, Tensor k, Tensor v, Tensor? x_fwd, Tensor? y_fwd, Tensor? x_bwd, Tensor? y_bwd, float scale"


class ReglaFunction(Protocol):
    """scale * (sum over the directions whose logits are given), (batch, length, heads, dim), dtype of v."""

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        x_fwd: Tensor | None,
        y_fwd: Tensor | None,
        x_bwd: Tensor | None,
        y_bwd: Tensor | None,
        scale: float,
        /,
    ) -> Tensor: ...


def define_regla(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward,
    gla_executed: MacsFormula,
    gla_executed_backward: MacsFormula,
) -> ReglaFunction:
    """An implementation as torch.ops.vigbench.regla_<name>, with what GLA executes in its place."""
    cost = CostFormulas(
        regla_macs,
        like_gla(gla_executed),
        regla_macs_backward,
        like_gla_backward(gla_executed_backward),
        regla_special,
    )
    operator: ReglaFunction = define_operator(f"regla_{name}", forward, backward, cost, SCHEMA)
    return operator
