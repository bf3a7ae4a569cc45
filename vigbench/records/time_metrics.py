"""The columns of time and throughput, which come first in `records.csv`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from vigbench.records.column import Combine, Compared, Shown, Units, column
from vigbench.records.kernel_time import KernelTimeSource


class TimeMetrics(BaseModel):
    """How long a call takes, and how much it gets done."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    # latency: one synchronised call
    latency_ms: float | None = column(
        "median latency of one synchronised call",
        Units.ms,
        Combine.estimate,
        interval=("latency_low_ms", "latency_high_ms"),
        shown=Shown("Latency", "time", models=True, operators=True),
        compared=Compared(("latency_ms",)),
        less="takes less time than",
    )
    latency_low_ms: float | None = column(
        "lower end of its 95% interval, by order statistics", Units.ms, Combine.estimate
    )
    latency_high_ms: float | None = column("upper end of that interval", Units.ms, Combine.estimate)
    latency_p90_ms: float | None = column("90th percentile; empty below 29 samples", Units.ms, Combine.middle)
    latency_p95_ms: float | None = column("95th percentile; empty below 59 samples", Units.ms, Combine.middle)
    latency_p99_ms: float | None = column("99th percentile; empty below 299 samples", Units.ms, Combine.middle)
    samples: int | None = column("timed calls behind the latency columns", Units.count, Combine.total)
    warmup_iterations: int | None = column("calls before the first timed one", Units.count, Combine.total)
    outliers: int | None = column("timed calls outside the far Tukey fences; kept", Units.count, Combine.total)
    effective_samples: float | None = column("independent samples that they are worth", Units.count, Combine.total)
    calibrated_latency: float | None = column(
        "latency / duration of a fixed workload run in the same blocks; comparable between moments",
        Units.ratio,
        Combine.middle,
    )
    processes: int | None = column("worker processes behind the samples", Units.count, Combine.afterwards)
    attempts: int | None = column(
        "times the case was measured; 2 if the first was `contended`, and the quieter one is kept",
        Units.count,
        Combine.afterwards,
    )
    # training_step: its parts, each synchronised, in the order run
    forward_ms: float | None = column(
        "training_step: median of the forward pass, recorded by autograd, and the loss",
        Units.ms,
        Combine.middle,
        interval=("forward_low_ms", "forward_high_ms"),
        shown=Shown("Forward", "time"),
    )
    forward_low_ms: float | None = column("lower end of forward_ms's 95% interval", Units.ms, Combine.middle)
    forward_high_ms: float | None = column("upper end of forward_ms's 95% interval", Units.ms, Combine.middle)
    backward_ms: float | None = column(
        "training_step: median of the backward pass",
        Units.ms,
        Combine.middle,
        interval=("backward_low_ms", "backward_high_ms"),
        shown=Shown("Backward", "time"),
    )
    backward_low_ms: float | None = column("lower end of backward_ms's 95% interval", Units.ms, Combine.middle)
    backward_high_ms: float | None = column("upper end of backward_ms's 95% interval", Units.ms, Combine.middle)
    optimizer_ms: float | None = column(
        "training_step: median of the optimiser's update and the clearing of gradients",
        Units.ms,
        Combine.middle,
        interval=("optimizer_low_ms", "optimizer_high_ms"),
        shown=Shown("Optimiser", "time"),
    )
    optimizer_low_ms: float | None = column("lower end of optimizer_ms's 95% interval", Units.ms, Combine.middle)
    optimizer_high_ms: float | None = column("upper end of optimizer_ms's 95% interval", Units.ms, Combine.middle)
    optimizer: str | None = column("training_step: the optimiser and its settings", Units.text, Combine.same)
    loss_drift: float | None = column(
        "training_step: |loss after all steps / loss before - 1|: how far measuring has trained",
        Units.ratio,
        Combine.largest,
    )
    # CUDA: the device's own time
    kernel_ms: float | None = column(
        "CUDA: device time of one call from a cold L2 cache, as `kernel_time_source` says",
        Units.ms,
        Combine.middle,
        interval=("kernel_low_ms", "kernel_high_ms"),
        shown=Shown("Kernel time", "device time", operators=True),
        compared=Compared(("kernel_ms",), unit="ms of kernels"),
        less="takes less kernel time than",
        source="kernel_time_source",
    )
    kernel_low_ms: float | None = column("lower end of kernel_ms's 95% interval", Units.ms, Combine.middle)
    kernel_high_ms: float | None = column("upper end of kernel_ms's 95% interval", Units.ms, Combine.middle)
    kernel_time_source: KernelTimeSource | None = column(
        "CUDA: `events`: from an event before the call to one after it, launches hidden; `profile`: the "
        "sum of kernel durations in the profiler, without the pauses between kernels; `profile_warm`: the same, L2 not "
        "flushed; `events_exposed`: events with launches not hidden, an upper bound; processes whose source is not "
        "that of most have no part in kernel_ms",
        Units.text,
        Combine.same,
    )
    device_busy_share: float | None = column(
        "CUDA: time with a kernel running / latency of calls just before, 0 to 1; below 0.8 marks `launch_bound`",
        Units.ratio,
        Combine.middle,
    )
    # throughput: queued calls, one synchronisation a block
    throughput_per_s: float | None = column(
        "items (see `unit`) per second, median over blocks",
        Units.items_per_s,
        Combine.estimate,
        interval=("throughput_low_per_s", "throughput_high_per_s"),
        shown=Shown("Throughput", "{item}s per second", models=True, higher_is_better=True),
        compared=Compared(("queued_call_ms", "latency_ms")),
        formerly="throughput_img_per_s",
    )
    voxels_per_s: float | None = column(
        "volumes: voxels per second, from throughput_per_s; a whole scan's are counted once, however windows overlap",
        Units.voxels_per_s,
        Combine.estimate,
        shown=Shown("Voxels", "voxels per second", higher_is_better=True),
    )
    windows: int | None = column("sliding_window: windows of one scan", Units.count, Combine.same)
    throughput_low_per_s: float | None = column(
        "lower end of the throughput's 95% interval",
        Units.items_per_s,
        Combine.estimate,
        formerly="throughput_low_img_per_s",
    )
    throughput_high_per_s: float | None = column(
        "upper end of the throughput's 95% interval",
        Units.items_per_s,
        Combine.estimate,
        formerly="throughput_high_img_per_s",
    )
