"""The one form that every implementation of causal linear attention has, and what its gradients are."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from vigbench.ops.causal_linear_attention.cost import causal_macs, causal_macs_backward
from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator

SCHEMA = "Tensor q, Tensor k, Tensor v, float scale, bool reverse"


class CausalLinearAttentionFunction(Protocol):
    """scale * (sum over the tokens that are not after each, or not before, of (q . k) v), like v."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, scale: float, reverse: bool, /) -> Tensor: ...


def define_causal_linear_attention(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward,
    executed: MacsFormula,
    executed_backward: MacsFormula,
) -> CausalLinearAttentionFunction:
    """An implementation as torch.ops.vigbench.causal_linear_attention_<name>, with what it really executes."""
    cost = CostFormulas(causal_macs, executed, causal_macs_backward, executed_backward)
    operator: CausalLinearAttentionFunction = define_operator(
        f"causal_linear_attention_{name}", forward, backward, cost, SCHEMA
    )
    return operator


def gradients_by(attend: CausalLinearAttentionFunction) -> Backward:
    """The backward of `attend` by itself: each gradient is causal linear attention of the three other tensors.

    do_t . v_j weighs k_j for q_t, and looking the other way q_t for k_j; k_j . q_t weighs do_t for v_j.
    """

    def backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, scale: float, reverse: bool) -> list[Tensor]:
        others = not reverse
        return [
            attend(grad, v, k, scale, reverse),
            attend(v, grad, q, scale, others),
            attend(k, q, grad, scale, others),
        ]

    return backward
