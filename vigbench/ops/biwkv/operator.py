"""The one form that every implementation of Bi-WKV has."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from vigbench.ops.biwkv.cost import biwkv_macs, biwkv_macs_backward, biwkv_special
from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator

SCHEMA = "Tensor w, Tensor u, Tensor k, Tensor v"


class BiWkvFunction(Protocol):
    """Bi-WKV of w and u, (channels,), and k and v, (batch, length, channels): like k."""

    def __call__(self, w: Tensor, u: Tensor, k: Tensor, v: Tensor, /) -> Tensor: ...


def define_biwkv(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward,
    executed: MacsFormula,
    executed_backward: MacsFormula,
) -> BiWkvFunction:
    """An implementation as torch.ops.vigbench.biwkv_<name>, with the multiply-adds that it really executes."""
    cost = CostFormulas(biwkv_macs, executed, biwkv_macs_backward, executed_backward, biwkv_special)
    operator: BiWkvFunction = define_operator(f"biwkv_{name}", forward, backward, cost, SCHEMA)
    return operator
