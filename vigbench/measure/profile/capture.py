"""Profiles one iteration of a model: three passes, since whatever looks at the one thing changes the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch._C._profiler import _RecordFunctionFast
from torch.profiler import ProfilerActivity

from vigbench.measure.launch import busy_share, busy_time, plain_latency
from vigbench.measure.memory import without_collection
from vigbench.measure.path import events_of, one_profile
from vigbench.measure.profile.counting import CountedCalls
from vigbench.measure.profile.memory_use import MemoryUse, memory_use
from vigbench.measure.profile.places import PlacedSpan, places
from vigbench.measure.profile.ranges import ITERATION, class_names, module_ranges
from vigbench.measure.profile.spans import Kernel, Span, attach_kernels, span_trees
from vigbench.measure.profile.times import CostKey, Times, add_up
from vigbench.measure.profile.trace import write_trace

_WARM_UP = "vigbench: first call under the profiler"
Call = Callable[[], Any]


@dataclass
class Count:
    """What one iteration asks of one operator in one module: FLOPs by the counting rule, bytes, special functions.

    Attributes:
        unknown: calls that have no formula and are not free by the rule: their FLOPs are missing.
    """

    calls: int = 0
    flops: int = 0
    moved: int = 0
    special: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class ProfiledSubject:
    """What is profiled.

    Attributes:
        call: one iteration, warmed up.
        model: whose modules get ranges; `call` runs it.
        synchronize: returns when the device has finished.
        device: cpu or cuda.
    """

    call: Call
    model: nn.Module
    synchronize: Callable[[], None]
    device: torch.device

    @property
    def on_cuda(self) -> bool:
        """Whether time is that of kernels."""
        return self.device.type == "cuda"


@dataclass(frozen=True)
class Profile:
    """A profiled subject; `counts` and `memory` are of one iteration, `times` and `kernels` of all.

    Attributes:
        wall_s: seconds of each profiled iteration.
        busy_s: CUDA: seconds of an iteration with a kernel, copy or fill running.
        plain_s: CUDA: seconds of an iteration just before, without the profiler.
        classes: of all modules by qualified name.
        shapes: operator -> the arguments' shapes of its longest call in the memory pass.
        trace_events: in the trace file.
    """

    wall_s: tuple[float, ...]
    times: Times
    counts: dict[CostKey, Count]
    memory: MemoryUse
    classes: dict[str, str]
    shapes: dict[str, str]
    trace_events: int
    kernels: list[Kernel] = field(default_factory=list)
    busy_s: float | None = None
    plain_s: float | None = None

    @property
    def busy_share(self) -> float | None:
        """See `launch.busy_share`; None on a CPU."""
        return busy_share(self.busy_s, self.plain_s) if self.busy_s and self.plain_s else None


def profile_subject(subject: ProfiledSubject, iterations: int, trace: Path) -> Profile:
    """Profile `iterations` calls after one that nobody counts; one more for memory, one for FLOPs and bytes.

    Leaves no hook behind, and the model without gradients, or with new ones.

    Args:
        subject: warmed up, and timed where its time without a profiler is wanted: on CUDA a profiler leaves hooks.
        iterations: at least 1.
        trace: `<name>.json.gz`, written.
    """
    with without_collection():
        counts = _count(subject)
        memory, shapes = _memory(subject)
        plain_s = plain_latency(subject.call, subject.synchronize) if subject.on_cuda else None
        with module_ranges(subject.model, subject.device) as labels:
            profiler, wall_s = _profiled(subject, iterations)
    events = events_of(profiler)
    roots = span_trees(events)
    kernels, busy_s = [], None
    if subject.on_cuda:
        index = torch.cuda.current_device() if subject.device.index is None else subject.device.index
        kernels = attach_kernels(events, roots, index)
        busy_s = busy_time((kernel.begin, kernel.end) for kernel in kernels) / 1e9 / iterations
    found = places(roots, labels, {name for _, _, name in counts})
    return Profile(
        wall_s=tuple(wall_s),
        times=add_up(found, labels, on_device=subject.on_cuda),
        counts=counts,
        memory=memory,
        classes=class_names(subject.model),
        shapes=shapes,
        trace_events=write_trace(profiler, trace),
        kernels=kernels,
        busy_s=busy_s,
        plain_s=plain_s,
    )


def _count(subject: ProfiledSubject) -> dict[CostKey, Count]:
    counter = CountedCalls()
    with module_ranges(subject.model, subject.device) as labels, _cpu_profile() as profiler, counter:
        _iterate(subject)
    counts: dict[CostKey, Count] = defaultdict(Count)
    for place in places(span_trees(events_of(profiler)), labels):
        call = counter.call_of(place.span.name)
        if call is not None:
            count = counts[place.module, place.backward, call.name]
            count.calls += 1
            count.flops += call.flops
            count.moved += call.moved
            count.special += call.special
            count.unknown += not call.known
    return dict(counts)


def _memory(subject: ProfiledSubject) -> tuple[MemoryUse, dict[str, str]]:
    """Memory, and shapes: noting them down would take as long as many small operators themselves."""
    subject.model.zero_grad(set_to_none=True)  # else freeing an earlier iteration's would hide this one's
    looking = _cpu_profile(profile_memory=True, record_shapes=True)
    with module_ranges(subject.model, subject.device) as labels, looking as profiler:
        result = _iterate(subject)
    del result  # held until here, as whoever called the model would
    roots = span_trees(events_of(profiler), "CUDA" if subject.on_cuda else "CPU")
    found: Sequence[PlacedSpan] = list(places(roots, labels))
    return memory_use(found, dict(labels)), _shapes(found)


def _shapes(found: Sequence[PlacedSpan]) -> dict[str, str]:
    longest: dict[str, Span] = {}
    for place in found:
        if place.operator is not None and place.starts[0]:
            span = place.span
            if place.operator not in longest or span.duration > longest[place.operator].duration:
                longest[place.operator] = span
    return {name: str(span.raw.shapes()) for name, span in longest.items()}


@contextmanager
def _cpu_profile(**options: Any) -> Iterator[Any]:
    with one_profile(activities=[ProfilerActivity.CPU], **options) as profiler:
        yield profiler


def _profiled(subject: ProfiledSubject, iterations: int) -> tuple[Any, list[float]]:
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if subject.on_cuda else [])]
    wall_s = []
    subject.synchronize()
    with one_profile(activities=activities) as profiler:
        with _RecordFunctionFast(_WARM_UP):
            subject.call()
            subject.synchronize()
        for _ in range(iterations):
            begin = perf_counter()
            _iterate(subject)
            wall_s.append(perf_counter() - begin)
    return profiler, wall_s


def _iterate(subject: ProfiledSubject) -> Any:
    with _RecordFunctionFast(ITERATION):
        result = subject.call()
        subject.synchronize()
    return result
