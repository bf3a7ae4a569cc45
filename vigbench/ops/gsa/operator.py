"""The one form that every implementation of gated slot attention has."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator
from vigbench.ops.gsa.cost import gsa_macs, gsa_macs_backward, gsa_special

SCHEMA = "Tensor q, Tensor k, Tensor v, Tensor? s_fwd, Tensor? s_bwd, Tensor? g_fwd, Tensor? g_bwd, float scale"

GsaFunction = Callable[..., Tensor]
"""Of the arguments below: (batch, length, heads, value_dim), dtype of v."""


class SlotDirection(NamedTuple):
    """How strongly tokens are written to the slots of one direction, and the slots' log-decays.

    Both are (batch, length, heads, slots).
    """

    s: Tensor
    g: Tensor
    reverse: bool

    @property
    def gates(self) -> tuple[Tensor | None, Tensor | None]:
        """The log-decays as gated linear attention takes them."""
        return (None, self.g) if self.reverse else (self.g, None)


class GsaArguments(NamedTuple):
    """The arguments of every implementation; s and g are both given, or both left out, in a direction.

    The result is the mean over the directions there are; `scale` is the logits'.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    s_fwd: Tensor | None
    s_bwd: Tensor | None
    g_fwd: Tensor | None
    g_bwd: Tensor | None
    scale: float

    def directions(self) -> list[SlotDirection]:
        """Those there are, the one from the first token to the last first."""
        both = ((self.s_fwd, self.g_fwd, False), (self.s_bwd, self.g_bwd, True))
        return [SlotDirection(s, g, reverse) for s, g, reverse in both if s is not None and g is not None]

    def tensors(self) -> list[Tensor]:
        """Those that are given, in order."""
        return [x for x in self[:-1] if x is not None]


def define_gsa(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward,
    executed: MacsFormula,
    executed_backward: MacsFormula,
) -> GsaFunction:
    """An implementation as torch.ops.vigbench.gsa_<name>, with the multiply-adds that it really executes."""
    cost = CostFormulas(gsa_macs, executed, gsa_macs_backward, executed_backward, gsa_special)
    return define_operator(f"gsa_{name}", forward, backward, cost, SCHEMA)
