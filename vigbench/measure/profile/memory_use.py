"""Memory over one iteration: live bytes by time, and what each module and operator allocates and keeps."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from vigbench.measure.profile.places import PlacedSpan
from vigbench.measure.profile.spans import MEMORY, Span


@dataclass(frozen=True)
class Moment:
    """One allocation, or the end of one.

    Attributes:
        time: nanoseconds since the iteration began.
        change: bytes, negative at the end of an allocation.
        live: bytes that the iteration holds after it; below 0 where it gives back what was there before.
        module: the innermost one.
        operator: the innermost one; None outside of operators.
    """

    time: int
    change: int
    live: int
    module: str
    operator: str | None
    backward: bool


@dataclass
class ModuleMemory:
    """Bytes of one module, the modules inside it included.

    Attributes:
        allocated: all allocations of an iteration, those of its backward pass too.
        kept: allocated less freed, in its forward calls together.
        peak_growth: the most that one forward call had live beyond what was live when it began.
    """

    allocated: int = 0
    kept: int = 0
    peak_growth: int = 0


@dataclass(frozen=True)
class MemoryUse:
    """Memory of one iteration."""

    moments: tuple[Moment, ...]
    modules: dict[str, ModuleMemory] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)  # bytes that it allocates itself

    @property
    def peak(self) -> Moment | None:
        """The first moment with the most live bytes; None where nothing was allocated."""
        return max(self.moments, key=lambda moment: moment.live, default=None)


def memory_use(found: Sequence[PlacedSpan], module_ranges: dict[str, str]) -> MemoryUse:
    """Add up the allocations of one iteration.

    Args:
        found: the places of its spans, allocations among them.
        module_ranges: name of a module's range -> its qualified name.
    """
    if not found:
        return MemoryUse(())
    start = found[0].span.begin
    changes = sorted((place for place in found if place.span.name == MEMORY), key=lambda place: place.span.begin)
    live = list(accumulate((place.span.raw.nbytes() for place in changes), initial=0))
    modules: dict[str, ModuleMemory] = defaultdict(ModuleMemory)
    operators: Counter[str] = Counter()
    moments = []
    for place, after in zip(changes, live[1:], strict=True):
        size = place.span.raw.nbytes()
        moments.append(Moment(place.span.begin - start, size, after, place.module, place.operator, place.backward))
        if size > 0:
            operators[place.operator or ""] += size
            for path in dict.fromkeys(place.modules):
                modules[path].allocated += size
    times = [place.span.begin for place in changes]
    for place in found:
        entered = module_ranges.get(place.span.name)
        if entered is not None and not place.backward:
            _add_call(modules[entered], place.span, times, live)
    return MemoryUse(tuple(moments), dict(modules), dict(operators))


def _add_call(module: ModuleMemory, span: Span, times: Sequence[int], live: Sequence[int]) -> None:
    first, last = bisect_left(times, span.begin), bisect_left(times, span.end)
    before = live[first]
    module.kept += live[last] - before
    module.peak_growth = max(module.peak_growth, max(live[first : last + 1]) - before)
