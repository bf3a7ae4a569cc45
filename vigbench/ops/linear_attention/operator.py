"""The one form that every implementation of linear attention has."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator
from vigbench.ops.linear_attention.cost import linear_attention_macs, linear_attention_macs_backward

SCHEMA = "Tensor q, Tensor k, Tensor v, float scale, bool normalised"
EPS = 1e-6  # of the mean score that divides, as MLLA (arXiv 2405.16605) and flash_bla have it; LinFusion has 1e-4


class LinearAttentionFunction(Protocol):
    """scale q (k^T v), or where normalised q (k^T v) / (q . sum of k + EPS length), like v.

    All are (batch, length, heads, dim); a normalised one has no use for its scale.
    """

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, scale: float, normalised: bool, /) -> Tensor: ...


def define_linear_attention(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward,
    executed: MacsFormula,
    executed_backward: MacsFormula,
) -> LinearAttentionFunction:
    """An implementation as torch.ops.vigbench.linear_attention_<name>, with the multiply-adds that it executes."""
    cost = CostFormulas(linear_attention_macs, executed, linear_attention_macs_backward, executed_backward)
    operator: LinearAttentionFunction = define_operator(f"linear_attention_{name}", forward, backward, cost, SCHEMA)
    return operator
