"""What a profile measured, as the rows of its tables: per iteration, in ms and MiB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from vigbench.measure.ceilings import Ceilings
from vigbench.measure.memory import MIB, Memory
from vigbench.measure.profile.capture import Profile
from vigbench.measure.profile.costs import OperatorCost
from vigbench.measure.profile.memory_use import ModuleMemory
from vigbench.measure.profile.spans import kernel_calls
from vigbench.measure.profile.times import ModuleTime
from vigbench.measure.profile.words import shares_of_ceilings
from vigbench.measure.sampling import Samples
from vigbench.records.profile import CostRow, KernelRow, MemoryRow, ModuleRow, OperatorRow
from vigbench.worker.prepare import Prepared

NS_PER_MS = 1e6


@dataclass(frozen=True)
class ProfiledCase:
    """A profile and what it was made of."""

    prepared: Prepared
    profile: Profile
    iterations: int


def module_rows(profile: Profile, groups: Mapping[str, str], iterations: int) -> tuple[ModuleRow, ...]:
    """Every module that ran, in the model's order; then what belongs to none."""
    times, memory = profile.times.modules, profile.memory.modules
    ran = [path for path in profile.classes if path in times]
    ran += [path for path in times if path not in profile.classes]
    per_ms = NS_PER_MS * iterations
    rows = []
    for path in ran:
        time, held = times.get(path, ModuleTime()), memory.get(path, ModuleMemory())
        rows.append(
            ModuleRow(
                module=path,
                group=groups.get(path, path),
                class_name=profile.classes.get(path, ""),
                calls=time.calls / iterations,
                share=time.own / profile.times.total,
                total_ms=time.total / per_ms,
                self_ms=time.own / per_ms,
                forward_ms=time.forward / per_ms,
                backward_ms=time.backward / per_ms,
                outside_ms=time.outside / per_ms,
                allocated_mib=held.allocated / MIB,
                kept_mib=held.kept / MIB,
                peak_growth_mib=held.peak_growth / MIB,
            )
        )
    return tuple(rows)


def operator_rows(profile: Profile, iterations: int) -> tuple[OperatorRow, ...]:
    """Every operator at any depth, the largest own time first."""
    times, allocated = profile.times, profile.memory.operators
    per_ms = NS_PER_MS * iterations
    ordered = sorted(times.operators.items(), key=lambda item: -item[1].own)
    return tuple(
        OperatorRow(
            operator=name,
            calls=time.calls / iterations,
            share=time.own / times.total,
            self_ms=time.own / per_ms,
            total_ms=time.total / per_ms,
            allocated_mib=allocated.get(name, 0) / MIB,
            shapes=profile.shapes.get(name, ""),
        )
        for name, time in ordered
    )


def cost_rows(costs: Sequence[OperatorCost], ceilings: Ceilings, precision: str) -> tuple[CostRow, ...]:
    """Every cost, with its rates against the ceilings."""
    rows = []
    for cost in costs:
        compute, bandwidth = shares_of_ceilings(cost, ceilings, precision)
        floor_s, bound = cost.floor(ceilings, precision)
        rows.append(
            CostRow(
                operator=cost.operator,
                group=cost.group,
                phase="backward" if cost.backward else "forward",
                calls=cost.calls,
                share=cost.share,
                total_ms=1e3 * cost.seconds,
                gmacs=cost.flops / 2e9,
                moved_mib=cost.moved / MIB,
                flops_per_byte=cost.flops / cost.moved if cost.moved else 0.0,
                tflop_per_s=cost.tflop_per_s,
                gb_per_s=cost.gb_per_s,
                compute_share=compute,
                bandwidth_share=bandwidth,
                calls_inside=cost.calls_inside,
                special_g=cost.special / 1e9,
                floor_ms=1e3 * floor_s,
                bound=bound,
            )
        )
    return tuple(rows)


def kernel_rows(profile: Profile, iterations: int) -> tuple[KernelRow, ...]:
    """Every kernel by what launched it, the most time first; none on a CPU."""
    found = kernel_calls(profile.kernels)
    total = sum(time for _, time in found.values())
    return tuple(
        KernelRow(kernel, origin, calls / iterations, time / total, time / NS_PER_MS / iterations)
        for (kernel, origin), (calls, time) in sorted(found.items(), key=lambda item: -item[1][1])
    )


def memory_rows(profile: Profile, base: int) -> tuple[MemoryRow, ...]:
    """The timeline of one iteration; `base` are the bytes of weights and inputs."""
    return tuple(
        MemoryRow(
            time_ms=moment.time / NS_PER_MS,
            change_mib=moment.change / MIB,
            live_mib=(base + moment.live) / MIB,
            module=moment.module,
            operator=moment.operator or "",
            phase="backward" if moment.backward else "forward",
        )
        for moment in profile.memory.moments
    )


def totals_of(measured: ProfiledCase, latency: Samples, memory: Memory) -> dict[str, Any]:
    """The sums of a profile, and what they are checked against."""
    prepared, profile = measured.prepared, measured.profile
    interval, profiled_s = latency.interval(), median(profile.wall_s)
    counted = [(key, count.flops) for key, count in profile.counts.items()]
    uncounted: Counter[str] = Counter()
    for (_, _, operator), count in profile.counts.items():
        uncounted[operator] += count.unknown
    calls = sum(count.calls for count in profile.counts.values())
    peak = profile.memory.peak
    accounted_ms = profile.times.total / NS_PER_MS / measured.iterations
    wall_ms = 1e3 * sum(profile.wall_s) / len(profile.wall_s)
    on_cuda = profile.busy_s is not None
    return {
        "latency_ms": 1e3 * interval.median,
        "latency_low_ms": 1e3 * interval.low,
        "latency_high_ms": 1e3 * interval.high,
        "samples": len(latency.durations_s),
        "profiled_ms": 1e3 * profiled_s,
        "iterations_ms": [1e3 * seconds for seconds in profile.wall_s],
        "slowdown": profiled_s / interval.median,
        "accounted_ms": accounted_ms,
        "accounted_share": None if on_cuda else accounted_ms / wall_ms,
        "outside_operators_share": None if on_cuda else profile.times.outside / profile.times.total,
        "device_busy_share": profile.busy_share,
        "gmacs": prepared.cost.macs * prepared.case.batch_size / 1e9,
        "counted_gmacs": sum(flops for (_, backward, _), flops in counted if not backward) / 2e9,
        "counted_backward_gmacs": sum(flops for (_, backward, _), flops in counted if backward) / 2e9,
        "flop_coverage": 1 - uncounted.total() / calls if calls else 1.0,
        "uncounted_operators": dict((+uncounted).most_common()),
        "weights_mib": memory.weights / MIB,
        "inputs_mib": memory.inputs / MIB,
        "peak_memory_mib": memory.peak / MIB,
        "timeline_peak_mib": (memory.weights + memory.inputs + (peak.live if peak else 0)) / MIB,
        "peak_module": peak.module if peak else "",
        "peak_operator": (peak.operator or "") if peak else "",
        "peak_phase": "backward" if peak and peak.backward else "forward",
        "trace_events": profile.trace_events,
    }
