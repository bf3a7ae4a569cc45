"""The costs of an iteration: each counted operator in each group of modules, with its rates; largest first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from vigbench.measure.ceilings import Ceilings
from vigbench.measure.profile.capture import Count
from vigbench.measure.profile.times import DISPATCH, OUTSIDE_OPERATORS, CostKey, Times

_WITHOUT_OPERATOR = (DISPATCH, OUTSIDE_OPERATORS)


@dataclass(frozen=True)
class OperatorCost:
    """One operator in one group of modules, in one iteration.

    Attributes:
        group: of modules; for what is outside of counted operators the one with most of it.
        operator: `namespace::name`, `(dispatch)` or `(outside operators)`.
        backward: whether it is the backward pass.
        seconds: with the operators inside it; CUDA: of its kernels.
        share: of the iteration's (CUDA: of all kernels').
        flops: 2 x multiply-adds by the counting rule.
        moved: bytes of inputs and outputs, each once.
        special: exponentials, logarithms and the like, by the operator's definition.
        calls_inside: calls of operators inside it, at any depth.
        inside: operators inside it with their own share of its seconds, largest first.
        group_share: of its seconds in `group`; 1 for every operator.
        counted: whether `flops` and `moved` are known: looking at a call can change which operator autograd takes, such
            as one that adds gradients in place.
        known: whether the counting rule covers it; if not, `flops` is 0 and may be too few.
    """

    group: str
    operator: str
    backward: bool
    calls: float
    seconds: float
    share: float
    flops: int = 0
    moved: int = 0
    special: int = 0
    calls_inside: float = 0.0
    inside: tuple[tuple[str, float], ...] = ()
    group_share: float = 1.0
    counted: bool = True
    known: bool = True

    @property
    def tflop_per_s(self) -> float:
        """10^12 floating-point operations per second; 0 where it takes no time."""
        return self.flops / self.seconds / 1e12 if self.seconds else 0.0

    @property
    def gb_per_s(self) -> float:
        """10^9 bytes per second; 0 where it takes no time."""
        return self.moved / self.seconds / 1e9 if self.seconds else 0.0

    def floor(self, ceilings: Ceilings, precision: str) -> tuple[float, str]:
        """Seconds that its bytes, products or special functions take at the ceilings, the longest, and which it is."""
        parts = {"memory": self.moved / ceilings.copy_gb_per_s / 1e9}
        if rate := ceilings.product_tflop_per_s.get(precision):
            parts["products"] = self.flops / rate / 1e12
        if ceilings.special_g_per_s:
            parts["special functions"] = self.special / ceilings.special_g_per_s / 1e9
        longest = max(parts, key=lambda name: parts[name])
        return parts[longest], longest if parts[longest] else ""

    @property
    def is_operator(self) -> bool:
        """Whether it is an operator, not what lies between them."""
        return self.operator not in _WITHOUT_OPERATOR


@dataclass
class _Sum:
    calls: int = 0
    time: int = 0
    flops: int = 0
    moved: int = 0
    special: int = 0
    counted: bool = False
    known: bool = True
    calls_inside: int = 0
    inside: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)


def costs_of(
    times: Times, counts: Mapping[CostKey, Count], groups: Mapping[str, str], iterations: int
) -> tuple[OperatorCost, ...]:
    """All costs, largest first; their shares add up to 1.

    What happens outside of counted operators is one cost for the whole model.

    Args:
        times: of all iterations.
        counts: of one iteration.
        groups: module -> its group.
        iterations: how many `times` holds.
    """
    sums: dict[CostKey, _Sum] = defaultdict(_Sum)
    for (module, backward, operator), cost in times.costs.items():
        group = groups.get(module, module)
        count = counts.get((module, backward, operator), Count())
        apart = operator not in _WITHOUT_OPERATOR
        summed = sums[(group, backward, operator) if apart else ("", False, operator)]
        summed.calls += cost.calls
        summed.time += cost.total
        summed.counted |= (module, backward, operator) in counts
        summed.known &= not count.unknown
        summed.flops += count.flops
        summed.moved += count.moved
        summed.special += count.special
        summed.calls_inside += cost.calls_inside
        summed.inside += cost.inside
        summed.groups[group] += cost.total
    found = [_cost(key, summed, times.total, iterations) for key, summed in sums.items() if summed.time]
    return tuple(sorted(found, key=lambda cost: -cost.seconds))


def _cost(key: CostKey, summed: _Sum, total: int, iterations: int) -> OperatorCost:
    _, backward, operator = key
    group, most = summed.groups.most_common(1)[0]
    return OperatorCost(
        group=group,
        operator=operator,
        backward=backward,
        calls=summed.calls / iterations,
        seconds=summed.time / 1e9 / iterations,
        share=summed.time / total,
        flops=summed.flops,
        moved=summed.moved,
        special=summed.special,
        calls_inside=summed.calls_inside / iterations,
        inside=tuple((name, time / summed.time) for name, time in summed.inside.most_common()),
        group_share=most / summed.time,
        counted=summed.counted,
        known=summed.known,
    )
