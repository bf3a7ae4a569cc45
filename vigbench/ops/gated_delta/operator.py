"""The one form that every implementation of the gated delta rule has."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from torch import Tensor

from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator
from vigbench.ops.gated_delta.cost import delta_macs, delta_macs_backward, delta_special

SCHEMA = "Tensor q, Tensor k, Tensor v, Tensor? g_fwd, Tensor? g_bwd, Tensor? beta_fwd, Tensor? beta_bwd, float scale"


class DeltaGates(NamedTuple):
    """Log-decays and writing strengths of one direction, (batch, length, heads) each."""

    g: Tensor
    beta: Tensor
    reverse: bool


class DeltaFunction(Protocol):
    """scale * (sum over the directions whose gates are given), (batch, length, heads, dim), dtype of v."""

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        g_fwd: Tensor | None,
        g_bwd: Tensor | None,
        beta_fwd: Tensor | None,
        beta_bwd: Tensor | None,
        scale: float,
        /,
    ) -> Tensor: ...


def directions_of(
    g_fwd: Tensor | None, g_bwd: Tensor | None, beta_fwd: Tensor | None, beta_bwd: Tensor | None
) -> Iterator[DeltaGates]:
    """The directions there are, the forward one first."""
    for g, beta, reverse in ((g_fwd, beta_fwd, False), (g_bwd, beta_bwd, True)):
        assert (g is None) == (beta is None), "a direction has log-decays and writing strengths"
        if g is not None and beta is not None:
            yield DeltaGates(g, beta, reverse)


def define_delta(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward,
    executed: MacsFormula = delta_macs,
    executed_backward: MacsFormula = delta_macs_backward,
) -> DeltaFunction:
    """An implementation as torch.ops.vigbench.gated_delta_<name>, with the multiply-adds that it really executes."""
    cost = CostFormulas(delta_macs, executed, delta_macs_backward, executed_backward, delta_special)
    operator: DeltaFunction = define_operator(f"gated_delta_{name}", forward, backward, cost, SCHEMA)
    return operator
