"""Did an optimiser's step do what AdamW is defined to do? The rule in float64, and how far rounding may lead from it.

With a gradient g, moments m and v, weight w, step t, c1 = 1 - b1^t and c2 = 1 - b2^t (arXiv 1711.05101):

    m' = b1 m + (1 - b1) g
    v' = b2 v + (1 - b2) g^2
    w' = (1 - lr decay) w - lr (m' / c1) / (sqrt(v' / c2) + eps)

torch has it as single tensor operations, as `foreach` and as `fused` kernels, which compute in float32 (float64 for
float64) and store in the parameter's dtype, of unit roundoff u. Each form keeps these bounds, for every element:

* The betas are rounded to float32: |float32(b) - b| = d, 1.3e-8 for 0.999. The fused kernel on CUDA takes 1 - b of the
  rounded beta (`fma(-b, g * g, g * g)`): off by d (v + g^2), where v was 0 by d / (1 - b2) = 1.3e-5 of v' itself.
* Each term is rounded at most 4 times: square, coefficient, product, sum. The same holds of torch's lerp,
  m + (1 - b1) (g - m), for betas of at least 1/2. So m' is within 4 u (b1 |m| + (1 - b1) |g|) + d (|m| + |g|) of the
  rule, and v' within 4 u v' + d (v + g^2).
* c1 and c2 come from a power in float64, or in float32 (fused, capturable), within 8 units in the last place.
* The step is rounded at most 8 times: root, quotient, sum with eps, quotient, factor lr / c1; `capturable` divides once
  more, and lr and eps are rounded. The weight is at most 4 times: factor and product of the decay, lr decay, sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

TERM_ROUNDINGS, STEP_ROUNDINGS, DECAY_ROUNDINGS = 4, 8, 3
PIECE = 2**18  # elements at a time: some 20 tensors of them in float64 fit into a cache, and beside any case
POWER_ULPS = 8  # of powf on CUDA, and one more for 1 - b^t


@dataclass(frozen=True)
class Snapshot:
    """One parameter with its moments, and how many steps it has seen."""

    weight: Tensor
    moment: Tensor
    square: Tensor
    steps: int


@dataclass(frozen=True)
class BoundedValue:
    """What the rule gives, how far from that rounding may lead, and the size that an error is told against."""

    value: Tensor
    allowed: Tensor
    scale: Tensor

    def excess(self, found: Tensor) -> str | None:
        """How far the worst element of `found` is beyond what is allowed, in words; None if none is."""
        error = (found - self.value).abs()
        beyond = ~(error <= self.allowed)  # a NaN is
        if not beyond.any():
            return None
        worst = (error / self.allowed).nan_to_num(math.inf, math.inf).where(beyond, 0.0).argmax()
        off, rounding = ((tensor[worst] / self.scale[worst]).item() for tensor in (error, self.allowed))
        return f"off by {off:.1e} of itself, of which rounding explains {rounding:.1e}"


def snapshot(optimizer: AdamW) -> list[Snapshot]:
    """Every parameter of `optimizer`, in order; on the CPU, so that nothing lies beside the case on its device."""
    found = (_now(parameter, optimizer) for parameter in parameters_of(optimizer))
    return [Snapshot(_kept(now.weight), _kept(now.moment), _kept(now.square), now.steps) for now in found]


def broken_step(optimizer: AdamW, before: Iterable[Snapshot]) -> str | None:
    """What the step after `before` did wrong, in words; None if it is AdamW's for the gradients that are there.

    A wrong beta or bias correction shows at once, a wrong epsilon in gradients that are not far above it. What the
    weights do shows as far as the learning rate lifts it above their rounding.

    Args:
        optimizer: just after exactly one step; its parameters hold the gradients of that step.
        before: the parameters just before it.
    """
    group = optimizer.param_groups[0]
    moved = 0
    for number, (parameter, old) in enumerate(zip(parameters_of(optimizer), before, strict=True)):
        new = _now(parameter, optimizer)
        if parameter.grad is None:
            continue
        moved += 1
        if new.steps != old.steps + 1:
            return f"parameter {number} has seen {new.steps - old.steps} steps instead of one"
        tensors = (old.weight, old.moment, old.square, parameter.grad, new.moment, new.square, new.weight)
        for pieces in zip(*(_flat(tensor).split(PIECE) for tensor in tensors), strict=True):
            weight, moment, square, gradient, *found = (x.to(parameter.device, torch.float64) for x in pieces)
            expected = _rule(Snapshot(weight, moment, square, old.steps), gradient, group, parameter.dtype)
            for what, wanted, value in zip(("first moment", "second moment", "change"), expected, found, strict=True):
                if excess := wanted.excess(value):
                    return f"the {what} of parameter {number} is {excess}"
    return None if moved else "no parameter has a gradient"


def _rule(old: Snapshot, gradient: Tensor, group: dict[str, Any], dtype: torch.dtype) -> tuple[BoundedValue, ...]:
    """Both moments and the weight, each with its bound from the module's derivation."""
    steps, (first, second) = old.steps + 1, group["betas"]
    moment = _average(first, old.moment, gradient, dtype)
    square = _average(second, old.square, gradient.square(), dtype)

    first_correction, first_error = _correction(first, steps, dtype)
    second_correction, second_error = _correction(second, steps, dtype)
    root = square.value.sqrt()
    root_error = torch.minimum(square.allowed / root, square.allowed.sqrt())  # |sqrt(a) - sqrt(b)|, both hold
    root_error = (root_error + root * second_error) / math.sqrt(second_correction)
    denominator = root / math.sqrt(second_correction) + group["eps"]
    rate = group["lr"] / first_correction
    step = rate * moment.value / denominator
    largest = rate * (moment.value.abs() + moment.allowed) / (denominator - root_error).clamp(min=0)
    roundoff = torch.finfo(dtype).eps / 2
    step_error = (1 + STEP_ROUNDINGS * roundoff + first_error) * largest - step.abs()

    weight = old.weight * (1 - group["lr"] * group["weight_decay"]) - step
    allowed = step_error + roundoff * (DECAY_ROUNDINGS * old.weight.abs() + weight.abs())
    return moment, square, BoundedValue(weight, allowed, (weight - old.weight).abs())


def _average(beta: float, old: Tensor, new: Tensor, dtype: torch.dtype) -> BoundedValue:
    """beta old + (1 - beta) new."""
    value = beta * old + (1 - beta) * new
    terms = beta * old.abs() + (1 - beta) * new.abs()
    limits = torch.finfo(dtype)
    underflow = TERM_ROUNDINGS * limits.smallest_normal * limits.eps / 2
    allowed = TERM_ROUNDINGS * limits.eps / 2 * terms + _off(beta, dtype) * (old.abs() + new.abs()) + underflow
    return BoundedValue(value, allowed, value.abs())


def _correction(beta: float, steps: int, dtype: torch.dtype) -> tuple[float, float]:
    """1 - beta^steps, and the share of it by which it may be off."""
    correction = 1 - beta**steps
    error = steps * beta ** (steps - 1) * _off(beta, dtype) + (POWER_ULPS + 1) * torch.finfo(torch.float32).eps / 2
    return correction, error / correction


def _off(beta: float, dtype: torch.dtype) -> float:
    """By how much a beta is off where a kernel rounds it to the dtype that it computes in."""
    return 0.0 if dtype == torch.float64 else abs(torch.tensor(beta, dtype=torch.float32).item() - beta)


def _now(parameter: Tensor, optimizer: AdamW) -> Snapshot:
    """The tensors themselves."""
    state = optimizer.state.get(parameter, {})
    moment, square = (
        state[name] if name in state else torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")
    )
    return Snapshot(parameter, moment, square, int(state.get("step", 0)))


def parameters_of(optimizer: AdamW) -> list[Tensor]:
    """All parameters, in the order of their groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _flat(tensor: Tensor) -> Tensor:
    return tensor.detach().flatten()


def _kept(tensor: Tensor) -> Tensor:
    return _flat(tensor).to("cpu", copy=True)
