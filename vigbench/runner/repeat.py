"""The one result that the processes of a case make together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from vigbench.measure.contention import CONTENDED_DROP, CONTENDED_LOAD
from vigbench.records.kernel_time import KERNEL_TIME
from vigbench.records.schema import Metrics, Status
from vigbench.records.stages import STAGES
from vigbench.stats.hierarchical import UNSEEN_SPREAD, estimate
from vigbench.worker.messages import Outcome

LARGEST_OF_ALL = (
    "peak_memory_mib", "activation_memory_mib", "gradients_at_peak_mib", "loss_drift", "reserved_memory_mib",
    "allocator_slack_mib", "process_peak_memory_mib",
    "process_growth_mib", "temperature_c", "other_load", "other_load_after", "rate_drop",
    "gpu_others",
)  # fmt: skip
SUM_OF_ALL = (
    "samples",
    "effective_samples",
    "outliers",
    "warmup_iterations",
    "compile_s",
    "kernel_compile_s",
    "reference_s",
    *STAGES.values(),
)
MIDDLE_OF_ALL = (
    "calibrated_latency", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms", "kernel_ms", "kernel_low_ms",
    "kernel_high_ms", "forward_ms", "forward_low_ms", "forward_high_ms", "backward_ms", "backward_low_ms",
    "backward_high_ms", "optimizer_ms", "optimizer_low_ms", "optimizer_high_ms", "device_busy_share",
    "energy_j_per_img", "power_w", "sm_clock_mhz",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What a case came to.

    Attributes:
        samples: for each process, quantity -> raw values in the order taken.
    """

    status: Status
    reason: str = ""
    operator: str | None = None
    marks: tuple[str, ...] = ()
    metrics: Metrics = field(default_factory=Metrics)
    samples: tuple[Mapping[str, Sequence[float]], ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)
    kernels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def failed(cls, status: Status, reason: str) -> Measured:
        """A result without numbers."""
        return cls(status, reason)

    def disturbance(self) -> tuple[float, ...]:
        """How much other processes were felt; of two results the one with less is kept, whatever their latencies."""
        metrics = self.metrics
        load = max(metrics.other_load or 0.0, metrics.other_load_after or 0.0) / CONTENDED_LOAD
        drop = (metrics.rate_drop or 0.0) / CONTENDED_DROP
        failed, contended = self.status is not Status.ok, "contended" in self.marks
        return float(failed), float(contended), float(metrics.gpu_others or 0), max(load, drop)


def combined(outcomes: Sequence[Outcome], device: str, reason: str = "") -> Measured:
    """What the processes of a case make together.

    Args:
        outcomes: at least one; several are all ok.
        device: cpu or cuda.
        reason: instead of the first outcome's own.
    """
    outcomes = _with_one_kernel_time(outcomes)
    first = outcomes[0]
    samples = tuple(outcome.samples for outcome in outcomes)
    metrics = first.metrics.model_dump()
    if len(outcomes) > 1:
        metrics |= _together([outcome.metrics for outcome in outcomes])
        metrics |= _timing([one["latency_ms"] for one in samples], _queued(samples), first.metrics, device)
    if first.status is Status.ok:
        metrics["processes"] = len(outcomes)
    return Measured(
        status=first.status,
        reason=reason or first.reason,
        operator=first.operator,
        marks=tuple(dict.fromkeys(mark for outcome in outcomes for mark in outcome.marks)),
        metrics=Metrics.model_validate(metrics),
        samples=samples,
        operators=first.operators,
        kernels=first.kernels,
    )


def _with_one_kernel_time(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Without the kernel times of processes that found theirs in another way than most did."""
    sources = Counter(one.metrics.kernel_time_source for one in outcomes if one.metrics.kernel_time_source)
    kept = sources.most_common(1)[0][0] if sources else None
    without = dict.fromkeys(KERNEL_TIME)
    return [
        one
        if one.metrics.kernel_time_source == kept
        else one.model_copy(
            update={
                "metrics": one.metrics.model_copy(update=without),
                "samples": {name: values for name, values in one.samples.items() if name != "kernel_ms"},
            }
        )
        for one in outcomes
    ]


def _together(several: Sequence[Metrics]) -> dict[str, float | str]:
    """One value for each metric that is not the same in every process; what follows from the case alone is."""
    combine: dict[str, Callable[[list[float]], float]] = {
        **dict.fromkeys(LARGEST_OF_ALL, max),
        **dict.fromkeys(SUM_OF_ALL, sum),
        **dict.fromkeys(MIDDLE_OF_ALL, median),
    }
    found = {name: [value for one in several if (value := getattr(one, name)) is not None] for name in combine}
    together: dict[str, float | str] = {name: combine[name](values) for name, values in found.items() if values}
    if sources := [one.kernel_time_source for one in several if one.kernel_time_source]:
        together["kernel_time_source"] = sources[0]
    seen = [one.throttle_reasons for one in several if one.throttle_reasons is not None]
    if seen:
        together["throttle_reasons"] = ";".join(
            dict.fromkeys(reason for one in seen for reason in one.split(";") if one)
        )
    return together


def _queued(samples: Sequence[Mapping[str, Sequence[float]]]) -> list[Sequence[float]]:
    """Milliseconds of a queued call where they were taken (CUDA), else of a latency sample."""
    return [one.get("queued_call_ms", one["latency_ms"]) for one in samples]


def _timing(
    latency_ms: Sequence[Sequence[float]], queued_ms: Sequence[Sequence[float]], first: Metrics, device: str
) -> dict[str, float]:
    """Geometric mean of the processes' medians, with an interval that holds the spread between processes.

    Two processes do not show that spread; for them it is the one that a comparison assumes too.
    """
    assert first.latency_ms is not None
    assert first.throughput_img_per_s is not None
    middle, low, high = _log_interval(latency_ms, device)
    queued, queued_low, queued_high = _log_interval(queued_ms, device)
    batch = first.throughput_img_per_s * median(queued_ms[0]) / 1e3  # images of one call
    return {
        "latency_ms": middle,
        "latency_low_ms": low,
        "latency_high_ms": high,
        "throughput_img_per_s": 1e3 * batch / queued,
        "throughput_low_img_per_s": 1e3 * batch / queued_high,
        "throughput_high_img_per_s": 1e3 * batch / queued_low,
    }


def _log_interval(groups_ms: Sequence[Sequence[float]], device: str) -> tuple[float, float, float]:
    logarithms = [[math.log(one) for one in group] for group in groups_ms]
    found = estimate(logarithms, UNSEEN_SPREAD[device])
    return math.exp(found.value), *(math.exp(one) for one in found.interval())  # type: ignore[return-value]
