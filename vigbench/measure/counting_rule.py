"""The counting rule of docs/measurement.md, operator by operator: what each costs, and which are free.

vigbench's operators bring their formulas with them (`ops/cost.py`), torch has some, and `flop_formulas.py` the others.
What has no formula and is not free (`free_operators.py`) is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch._ops import OpOverloadPacket
from torch.utils.flop_counter import flop_registry, shape_wrapper

from vigbench.measure.flop_formulas import BY_NAME, Formula
from vigbench.measure.free_operators import is_zero_by_rule

__all__ = ["FORMULAS", "formula_of", "is_zero_by_rule"]


class _Formulas(Mapping[OpOverloadPacket, Formula]):
    """Of the operators that are there at the moment: a library's come with its import."""

    def __getitem__(self, packet: OpOverloadPacket) -> Formula:
        return BY_NAME[str(packet)]

    def __iter__(self) -> Iterator[OpOverloadPacket]:
        for name in BY_NAME:
            namespace, _, operator = name.partition(".")
            packet = getattr(getattr(torch.ops, namespace), operator, None)
            if packet is not None:
                yield packet

    def __len__(self) -> int:
        return sum(1 for _ in self)


FORMULAS = _Formulas()
"""What FlopCounterMode takes as `custom_mapping`: tensors come as their shapes."""

_OURS = {name: shape_wrapper(formula) for name, formula in BY_NAME.items()}


def formula_of(packet: Any) -> Formula | None:
    """FLOPs from an operator's arguments and `out_val`, its result; None where neither we nor torch have a formula."""
    return _OURS.get(str(packet)) or flop_registry.get(packet)
