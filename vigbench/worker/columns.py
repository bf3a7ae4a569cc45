"""From measurements to the columns of a record, with their units."""

from __future__ import annotations

from statistics import median

from vigbench.measure.cost import Cost
from vigbench.measure.device_time import KernelTime
from vigbench.measure.gradient_memory import GradientMemory
from vigbench.measure.latency import Timing
from vigbench.measure.launch import DeviceWork
from vigbench.measure.memory import MIB, Memory
from vigbench.measure.path import ExecutedPath
from vigbench.measure.sampling import robust_interval
from vigbench.records.kernel_time import KernelTimeSource
from vigbench.records.metrics import with_interval
from vigbench.stats.order import MedianInterval, count_outliers, percentile
from vigbench.stats.series import effective_size
from vigbench.worker.observe import CallTiming


def interval_columns(name: str, interval: MedianInterval) -> dict[str, float]:
    """Seconds as a metric in milliseconds, and the ends of their 95% interval."""
    return with_interval(name, 1e3 * interval.median, 1e3 * interval.low, 1e3 * interval.high)


def latency_columns(timing: Timing) -> dict[str, float | int | None]:
    """Median, interval and what else the samples can bear."""
    samples_ms = [1e3 * duration_s for duration_s in timing.latency.durations_s]
    return {
        **interval_columns("latency_ms", timing.latency.interval()),
        "latency_p90_ms": percentile(samples_ms, 90),
        "latency_p95_ms": percentile(samples_ms, 95),
        "latency_p99_ms": percentile(samples_ms, 99),
        "samples": len(samples_ms),
        "effective_samples": effective_size(samples_ms),
        "calibrated_latency": calibrated_latency(timing),
        "outliers": count_outliers(samples_ms),
    }


def calibrated_latency(timing: Timing) -> float | None:
    """Median of each call's duration over that of the fixed workload just after it; None without one."""
    if not timing.calibration_s:
        return None
    return median(
        latency_s / calibration_s
        for latency_s, calibration_s in zip(timing.latency.durations_s, timing.calibration_s, strict=True)
    )


def throughput_columns(timing: Timing, items: int, voxels: int | None) -> dict[str, float | None]:
    """Items per second, and voxels of a batch that has any, from the calls of one block each."""
    interval = timing.throughput.interval()
    rates = (items / duration_s for duration_s in (interval.median, interval.high, interval.low))
    of_voxels = None if voxels is None else voxels / interval.median
    return {**with_interval("throughput_per_s", *rates), "voxels_per_s": of_voxels}


def memory_columns(
    memory: Memory, saved_for_backward: int | None, gradients: GradientMemory | None
) -> dict[str, float | None]:
    """Bytes as MiB; empty where there is no source. A training step's gradients are no activations."""
    stored = gradients.at_peak if gradients is not None else 0

    def mib(size: int | None) -> float | None:
        return None if size is None else size / MIB

    return {
        "weights_mib": mib(memory.weights),
        "inputs_mib": mib(memory.inputs),
        "activation_memory_mib": mib(memory.activations - stored),
        "optimizer_state_mib": None if gradients is None else mib(memory.kept),
        "gradients_mib": None if gradients is None else mib(gradients.total),
        "gradients_at_peak_mib": None if gradients is None else mib(gradients.at_peak),
        "peak_memory_mib": mib(memory.peak),
        "reserved_memory_mib": mib(memory.reserved),
        "allocator_slack_mib": mib(memory.slack),
        "saved_for_backward_mib": mib(saved_for_backward),
        "process_peak_memory_mib": mib(memory.process_peak),
        "process_growth_mib": mib(memory.process_growth),
    }


def cost_columns(
    cost: Cost, operator: str | None, closed_form_macs: int | None, items: int
) -> dict[str, float | int | str | None]:
    """Multiply-adds of one item in units of 10^9, by both counters, and what they cover; empty where not counted.

    The cost, and `closed_form_macs`, are those of so many items.
    """
    if cost.refusal:
        return {"params": cost.params, "uncounted_operators": f"all: {cost.refusal}"}

    def giga(macs: int | None) -> float | None:
        return None if macs is None else macs / items / 1e9

    return {
        "params": cost.params,
        "gmacs": giga(cost.macs),
        "closed_form_gmacs": giga(closed_form_macs),
        "executed_gmacs": giga(cost.executed_macs),
        "operator_gmacs": None if operator is None else giga(cost.by_operator.get(operator)),
        "flop_coverage": cost.coverage,
        "uncounted_operators": ";".join(cost.uncounted) or None,
    }


def path_columns(path: ExecutedPath) -> dict[str, float | int | str | None]:
    """How much ran in one call; the names are in the run's operators/ folder."""
    return {
        "operator_calls": sum(path.operators.values()),
        "kernel_launches": sum(path.kernels.values()) if path.kernels else None,
        "sdpa_backend": path.sdpa_backend,
    }


def kernel_columns(kernel: KernelTime | None, work: DeviceWork | None) -> dict[str, float | str | None]:
    """The device's own time and how it was found, and the share of a synchronised call in which it had work."""
    share = {"device_busy_share": None if work is None else work.busy_share}
    source, durations_s = device_time(kernel, work)
    if source is None:
        return {**share}
    return {**share, **interval_columns("kernel_ms", robust_interval(durations_s)), "kernel_time_source": source}


def device_time(
    kernel: KernelTime | None, work: DeviceWork | None
) -> tuple[KernelTimeSource | None, tuple[float, ...]]:
    """Seconds of each call on the device by the best source there is: events, unless they hold launch gaps."""
    if kernel is not None and kernel.launch_hidden:
        return KernelTimeSource.events, kernel.samples.durations_s
    if work is not None:
        return (KernelTimeSource.profile if work.cold else KernelTimeSource.profile_warm), work.kernel_s
    if kernel is not None:
        return KernelTimeSource.events_exposed, kernel.samples.durations_s
    return None, ()


def surroundings_columns(taken: CallTiming) -> dict[str, float | str | None]:
    """Energy, the GPU's state, and what others did meanwhile."""
    state = taken.state
    return {
        "energy_j_per_img": taken.energy.j_per_img,
        "energy_source": taken.energy.source,
        "power_w": state.power_w,
        "sm_clock_mhz": state.sm_clock_mhz,
        "temperature_c": state.temperature_c,
        "throttle_reasons": state.throttle_reasons,
        "other_load": taken.load_before,
        "other_load_after": taken.load_after,
        "waiting": taken.waiting or None,
        "allocation": taken.allocation or None,
        "gpu_others": taken.gpu_others,
        "rate_drop": taken.rate_drop,
    }


def raw_samples(taken: CallTiming, work: DeviceWork | None) -> dict[str, tuple[float, ...]]:
    """Every raw value by quantity, in the order taken; milliseconds where the name says so.

    `kernel_ms` is of the source that the record names; what events say of launches that were not hidden stands apart.
    """
    timing = taken.timing
    seconds = {"latency_ms": timing.latency.durations_s, "calibration_ms": timing.calibration_s}
    if timing.throughput is not timing.latency:
        seconds["queued_call_ms"] = timing.throughput.durations_s
    if taken.kernel is not None and not taken.kernel.launch_hidden:
        seconds["kernel_exposed_ms"] = taken.kernel.samples.durations_s
    seconds["kernel_ms"] = device_time(taken.kernel, work)[1]
    found = {name: tuple(1e3 * value for value in values) for name, values in seconds.items()}
    return {name: values for name, values in {**found, **taken.series}.items() if values}
