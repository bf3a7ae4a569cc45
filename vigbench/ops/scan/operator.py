"""The one form that every implementation of the selective scan has.

Everything that belongs to a direction has a leading dimension for directions: two are the forward and the backward one,
a single one is backward if `reverse`.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from vigbench.ops.cost import MacsFormula
from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator
from vigbench.ops.scan.cost import scan_macs, scan_macs_backward, scan_special

SOFTPLUS_THRESHOLD = 20.0  # torch's: beyond it softplus(x) is x
SCHEMA = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, "
    "float scale, bool softplus, bool reverse"
)


class ScanArguments(NamedTuple):
    """Tensors and switches of a scan.

    u, delta are (directions, batch, length, dim), B, C (directions, batch, length, state), A (directions, dim, state),
    D, delta_bias (directions, dim), z (batch, length, dim).
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    scale: float
    softplus: bool
    reverse: bool

    def reverses(self) -> list[bool]:
        """Of each direction whether it goes from the last token to the first."""
        return [False, True] if self.u.shape[0] == 2 else [self.reverse]

    def gradients(self, *grads: Tensor | None) -> list[Tensor]:
        """Of those given for u to delta_bias, the ones of tensors that there are, in their dtypes."""
        pairs = zip(self[:8], grads, strict=True)
        return [x.to(like.dtype).contiguous() for like, x in pairs if isinstance(like, Tensor) and x is not None]


ScanFunction = Callable[..., Tensor]
"""Takes `Arguments` one by one; scale * silu(z) * (sum over the directions), (batch, length, dim), dtype of u."""


def define_scan(
    name: str,
    forward: Callable[..., Tensor],
    backward: Backward | None,
    executed: MacsFormula = scan_macs,
    executed_backward: MacsFormula = scan_macs_backward,
) -> ScanFunction:
    """An implementation as torch.ops.vigbench.scan_<name>, with the multiply-adds that it really executes."""
    cost = CostFormulas(scan_macs, executed, scan_macs_backward, executed_backward, scan_special)
    operator: ScanFunction = define_operator(f"scan_{name}", forward, backward, cost, SCHEMA, _empty_result)
    return operator


def _empty_result(u: Tensor, *_: object) -> Tensor:
    return u.new_empty(u.shape[1:])
