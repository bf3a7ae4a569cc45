"""Did an optimiser's step do what AdamW is defined to do? The rule in float64, and the distance from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

# ||state - rule|| / ||rule|| of the two moments, which are rounded once to the parameter's dtype.
STATE_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-5, torch.bfloat16: 1e-2}
# ||change - rule|| / (||rule|| + rounding of the weight): a step is small beside the weight that it is added to.
CHANGE_TOLERANCE = 0.3


@dataclass(frozen=True)
class Snapshot:
    """One parameter with its moments before a step, in float64 on the CPU, and how many steps it has seen."""

    weight: Tensor
    moment: Tensor
    square: Tensor
    steps: int


def snapshot(optimizer: AdamW) -> list[Snapshot]:
    """Every parameter of `optimizer`, in order; on the CPU, so that nothing lies beside the case on its device."""
    return [_snapshot(parameter, optimizer) for parameter in _parameters(optimizer)]


def broken_step(optimizer: AdamW, before: Iterable[Snapshot]) -> str | None:
    """What the step after `before` did wrong, in words; None if it is AdamW's for the gradients that are there.

    Args:
        optimizer: just after exactly one step; its parameters hold the gradients of that step.
        before: the parameters just before it.
    """
    group = optimizer.param_groups[0]
    moved = 0
    for number, (parameter, old) in enumerate(zip(_parameters(optimizer), before, strict=True)):
        new = _snapshot(parameter, optimizer)
        if parameter.grad is None:
            continue
        moved += 1
        if new.steps != old.steps + 1:
            return f"parameter {number} has seen {new.steps - old.steps} steps instead of one"
        expected = _rule(old, _wide(parameter.grad), group)
        for what, value, right in (
            ("first moment", new.moment, expected.moment),
            ("second moment", new.square, expected.square),
        ):
            error = _share(value - right, _norm(right))
            if not error <= STATE_TOLERANCE.get(parameter.dtype, STATE_TOLERANCE[torch.bfloat16]):
                return f"the {what} of parameter {number} is off by {error:.1e} of itself"
        change = expected.weight - old.weight
        rounding = torch.finfo(parameter.dtype).eps * _norm(old.weight) / 2
        error = _share(new.weight - expected.weight, _norm(change) + rounding)
        if not error <= CHANGE_TOLERANCE:
            return f"the change of parameter {number} is off by {error:.1e} of itself"
    return None if moved else "no parameter has a gradient"


def _rule(old: Snapshot, gradient: Tensor, group: dict[str, Any]) -> Snapshot:
    """AdamW (arXiv 1711.05101), decoupled decay first, both moments corrected for their start at 0."""
    first, second = group["betas"]
    steps = old.steps + 1
    moment = first * old.moment + (1 - first) * gradient
    square = second * old.square + (1 - second) * gradient.square()
    decayed = old.weight * (1 - group["lr"] * group["weight_decay"])
    step = (moment / (1 - first**steps)) / ((square / (1 - second**steps)).sqrt() + group["eps"])
    return Snapshot(decayed - group["lr"] * step, moment, square, steps)


def _snapshot(parameter: Tensor, optimizer: AdamW) -> Snapshot:
    state = optimizer.state.get(parameter, {})
    zeros = torch.zeros(parameter.shape, dtype=torch.float64)
    moment, square = (_wide(state[name]) if name in state else zeros for name in ("exp_avg", "exp_avg_sq"))
    return Snapshot(_wide(parameter), moment, square, int(state.get("step", 0)))


def _parameters(optimizer: AdamW) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().to(device="cpu", dtype=torch.float64, copy=True)


def _norm(tensor: Tensor) -> float:
    return float(tensor.norm())


def _share(difference: Tensor, scale: float) -> float:
    norm = _norm(difference)
    return norm / scale if scale > 0 else (0.0 if norm == 0 else math.inf)
