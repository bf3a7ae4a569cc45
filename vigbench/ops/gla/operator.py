"""The one form that every implementation of gated linear attention has."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator
from vigbench.ops.gla.cost import gla_macs, gla_macs_backward, gla_special

SCHEMA = "Tensor q, Tensor k, Tensor v, Tensor? g_fwd, Tensor? g_bwd, float scale"


class GlaFunction(Protocol):
    """scale * (sum over the directions whose log-decays are given), (batch, length, heads, dim), dtype of v."""

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float, /
    ) -> Tensor: ...


def define_gla(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward | None,
    executed: MacsFormula = gla_macs,
    executed_backward: MacsFormula = gla_macs_backward,
) -> GlaFunction:
    """An implementation as torch.ops.vigbench.gla_<name>, with the multiply-adds that it really executes."""
    cost = CostFormulas(gla_macs, executed, gla_macs_backward, executed_backward, gla_special)
    operator: GlaFunction = define_operator(f"gla_{name}", forward, backward, cost, SCHEMA)
    return operator
