"""Arithmetic cost of custom operators, in the form torch.utils.flop_counter understands."""

from collections.abc import Callable
from typing import Any

from torch._ops import OpOverloadPacket
from torch.utils.flop_counter import register_flop_formula

MacsFormula = Callable[..., int]

EXECUTED_FLOPS: dict[OpOverloadPacket, Callable[..., int]] = {}
"""FLOPs that implementations really execute: pass as FlopCounterMode(custom_mapping=EXECUTED_FLOPS)."""


SPECIAL_FUNCTIONS: dict[OpOverloadPacket, Callable[..., int]] = {}
"""Exponentials, logarithms and the like that operators need by their definition, of the same arguments."""


def register_cost(
    op_packet: OpOverloadPacket, *, macs: MacsFormula, executed_macs: MacsFormula, special: MacsFormula | None = None
) -> None:
    """Tell FlopCounterMode what an operator costs; 1 MAC = 2 FLOPs.

    Both formulas get the operator's arguments with every tensor replaced by its shape, and `out_shape` by keyword.
    `macs` is the algorithmic count, equal for all implementations; `executed_macs` what this one really does.
    `special` gets the positional arguments only.
    """
    if special is not None:
        SPECIAL_FUNCTIONS[op_packet] = special
    register_flop_formula(op_packet)(_flops(macs))
    EXECUTED_FLOPS[op_packet] = _flops(executed_macs)


def _flops(macs: MacsFormula) -> Callable[..., int]:
    def flops(*shapes: Any, out_shape: Any = None, **kwargs: Any) -> int:
        return 2 * macs(*shapes, out_shape=out_shape, **kwargs)

    return flops
