"""Time by module, by operator and by both, added up from the places of all spans."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from vigbench.measure.profile.places import PlacedSpan

OUTSIDE_OPERATORS = "(outside operators)"  # Python between the operators, and autograd's engine
DISPATCH = "(dispatch)"  # composite operators, apart from the operators that they call

CostKey = tuple[str, bool, str]  # module, backward?, counted operator (or one of the two above)


@dataclass
class ModuleTime:
    """Nanoseconds of one module in all iterations.

    Attributes:
        calls: of its forward.
        total: with the modules inside it; backward pass included.
        forward, backward: its own, in operators of the two passes.
        outside: its own, outside of operators.
    """

    calls: int = 0
    total: int = 0
    forward: int = 0
    backward: int = 0
    outside: int = 0

    @property
    def own(self) -> int:
        """Without the modules inside it."""
        return self.forward + self.backward + self.outside


@dataclass
class OperatorTime:
    """Nanoseconds of one operator in all iterations.

    Attributes:
        own: without the operators inside it.
        total: with them.
    """

    calls: int = 0
    own: int = 0
    total: int = 0


@dataclass
class CostTime:
    """Nanoseconds of one counted operator in one module in all iterations, and the operators inside it.

    Attributes:
        calls_inside: of operators at any depth.
        inside: operator -> its own time.
    """

    calls: int = 0
    total: int = 0
    calls_inside: int = 0
    inside: Counter[str] = field(default_factory=Counter)


@dataclass
class Times:
    """All of a profile, in nanoseconds over all iterations; each of the three tables adds up to `total`."""

    modules: dict[str, ModuleTime] = field(default_factory=lambda: defaultdict(ModuleTime))
    operators: dict[str, OperatorTime] = field(default_factory=lambda: defaultdict(OperatorTime))
    costs: dict[CostKey, CostTime] = field(default_factory=lambda: defaultdict(CostTime))
    total: int = 0
    outside: int = 0


def add_up(found: Iterable[PlacedSpan], module_ranges: Iterable[str], *, on_device: bool) -> Times:
    """Add up the time of each span apart from what lies inside it.

    Args:
        found: the places of all spans.
        module_ranges: names of the modules' ranges.
        on_device: count the kernels that a span launched, not its time on the host.
    """
    times, ranges = Times(), frozenset(module_ranges)
    for place in found:
        span = place.span
        own = span.kernel_ns if on_device else span.self_ns
        times.total += own
        _add_to_modules(times, place, own, enters=span.name in ranges, on_device=on_device)
        _add_to_operators(times, place, own)
        _add_to_costs(times, place, own)
    return times


def _add_to_modules(times: Times, place: PlacedSpan, own: int, *, enters: bool, on_device: bool) -> None:
    for path in dict.fromkeys(place.modules):
        times.modules[path].total += own
    module = times.modules[place.module]
    module.calls += enters and not place.backward  # once more in the backward pass: recomputed activations
    if not place.operators and not on_device:
        module.outside += own
        times.outside += own
    elif place.backward:
        module.backward += own
    else:
        module.forward += own


def _add_to_operators(times: Times, place: PlacedSpan, own: int) -> None:
    for name in dict.fromkeys(place.operators):
        times.operators[name].total += own
    if place.operator is None:
        return
    operator = times.operators[place.operator]
    operator.own += own
    operator.calls += place.starts[0]


def _add_to_costs(times: Times, place: PlacedSpan, own: int) -> None:
    name = place.counted or (DISPATCH if place.operators else OUTSIDE_OPERATORS)
    cost = times.costs[place.module, place.backward, name]
    cost.total += own
    if place.counted is not None:
        cost.calls += place.starts[1]
        cost.calls_inside += place.starts[0] and not place.starts[1]
        if place.operator is not None and place.operator != place.counted:
            cost.inside[place.operator] += own
