"""The metrics of a case: each column is declared here, once, in the order of `records.csv`."""

from __future__ import annotations

from itertools import chain
from typing import Any

from vigbench.records.column import Column, Combine, Shown, Units, column
from vigbench.records.time_metrics import TimeMetrics
from vigbench.suites.resolution import Resolution


def _seconds(description: str, stage: str = "") -> Any:
    return column(description, Units.s, Combine.total, stage=stage)


class Metrics(TimeMetrics):
    """The numbers of one case. A field that was not measured is empty, never zero."""

    # operators: what their definition asks for, over device time (CUDA: kernel_ms, CPU: latency_ms)
    achieved_gb_per_s: float | None = column(
        "operators: 10^9 bytes of inputs and outputs, each once, per second of kernel_ms (CPU: "
        "latency_ms); training: those of the forward and those of the backward pass",
        Units.gb_per_s,
        Combine.afterwards,
        shown=Shown("Achieved bandwidth", "bandwidth", operators=True, higher_is_better=True, across=False),
    )
    achieved_tflop_per_s: float | None = column(
        "operators: 2 x 10^12 algorithmic multiply-adds per second of the same time; training: 3 forwards'",
        Units.tflop_per_s,
        Combine.afterwards,
        shown=Shown("Achieved arithmetic", "arithmetic rate", operators=True, higher_is_better=True, across=False),
    )
    bandwidth_share: float | None = column(
        "operators: achieved_gb_per_s / what a large copy reaches on this device; 0 to 1, and above where "
        "data stay in a cache",
        Units.ratio,
        Combine.afterwards,
        shown=Shown("Bandwidth, share of a copy's", "bandwidth", higher_is_better=True),
    )
    compute_share: float | None = column(
        "operators: achieved_tflop_per_s / what a large matrix product reaches here in this precision, 0 to 1",
        Units.ratio,
        Combine.afterwards,
        shown=Shown("Arithmetic, share of a matrix product's", "rate", higher_is_better=True),
    )
    extra_memory_share: float | None = column(
        "operators: peak memory beyond inputs and output (training: and their gradients) / the size of "
        "those; 0 is the least",
        Units.of_inputs_and_output,
        Combine.afterwards,
        shown=Shown("Extra memory", "extra memory", operators=True),
    )
    # memory
    weights_mib: float | None = column("parameters and buffers", Units.mib, Combine.same)
    inputs_mib: float | None = column(
        "the input batch; operators: all tensors that are given, in training also the output's gradient",
        Units.mib,
        Combine.same,
    )
    activation_memory_mib: float | None = column(
        "peak - weights - inputs, by torch's allocator; training_step: without optimizer_state_mib and "
        "gradients_at_peak_mib too, so that these five add up to the peak",
        Units.mib,
        Combine.largest,
        shown=Shown("Activation memory", "activation memory", models=True),
        less="needs less activation memory than",
    )
    optimizer_state_mib: float | None = column(
        "training_step: what the optimiser keeps: two moments and a counter for each parameter",
        Units.mib,
        Combine.same,
        shown=Shown("Optimiser state", "memory of the optimiser"),
    )
    gradients_mib: float | None = column(
        "training_step: gradients after the backward pass",
        Units.mib,
        Combine.largest,
        shown=Shown("Gradients", "memory of gradients"),
    )
    gradients_at_peak_mib: float | None = column(
        "training_step: those of them that are stored when memory is at its peak", Units.mib, Combine.largest
    )
    peak_memory_mib: float | None = column(
        "allocator peak of one iteration, weights and inputs included",
        Units.mib,
        Combine.largest,
        shown=Shown("Peak memory", "peak memory", models=True, operators=True),
        less="needs less memory than",
        deterministic="peak memory, MiB",
    )
    reserved_memory_mib: float | None = column(
        "CUDA: memory that the caching allocator held at the peak", Units.mib, Combine.largest
    )
    allocator_slack_mib: float | None = column(
        "CUDA: reserved minus allocated at the peak: cached, or lost to fragmentation",
        Units.mib,
        Combine.largest,
        shown=Shown("Allocator slack", "cached memory"),
    )
    saved_for_backward_mib: float | None = column(
        "training: what autograd keeps from the forward for the backward pass, weights and inputs out",
        Units.mib,
        Combine.largest,
        shown=Shown("Saved for backward", "memory kept for the backward pass"),
    )
    process_peak_memory_mib: float | None = column(
        "resident memory of the process on the host at its peak during one iteration, torch itself included",
        Units.mib,
        Combine.largest,
    )
    process_growth_mib: float | None = column(
        "growth of that during the iteration, without pages of files", Units.mib, Combine.largest
    )
    largest_batch: int | None = column(
        "with --max-batch: largest batch that fits, by bisection in fresh processes",
        Units.items,
        Combine.afterwards,
        shown=Shown("Largest batch", "{item}s", higher_is_better=True),
    )
    # energy and the state of the device during timing
    energy_j_per_img: float | None = column(
        "joules per item (see `unit`) while timing, by energy_source",
        Units.joule,
        Combine.middle,
        shown=Shown("Energy per {item}", "energy"),
    )
    energy_source: str | None = column("counter behind the energy, or why there is none", Units.text, Combine.joined)
    power_w: float | None = column("CUDA: median board power while timing", Units.watt, Combine.middle)
    sm_clock_mhz: float | None = column("CUDA: median SM clock while timing", Units.mhz, Combine.middle)
    temperature_c: float | None = column("CUDA: highest GPU temperature while timing", Units.celsius, Combine.largest)
    throttle_reasons: str | None = column(
        "CUDA: reasons for lowered clocks seen while timing, `;`-separated", Units.text, Combine.joined
    )
    # cost, for one item (see `unit`), forward
    params: int | None = column("trainable parameters", Units.parameters, Combine.same, deterministic="parameters")
    gmacs: float | None = column(
        "10^9 multiply-adds per item (see `unit`), algorithmic (docs/measurement.md)",
        Units.gmacs,
        Combine.same,
        shown=Shown("Multiply-adds per {item}", "multiply-adds", models=True, operators=True),
        deterministic="10^9 multiply-adds",
    )
    closed_form_gmacs: float | None = column(
        "the same by a formula written from the architecture; more than 0.5% apart marks `flops_disputed`",
        Units.gmacs,
        Combine.same,
    )
    executed_gmacs: float | None = column(
        "10^9 multiply-adds per item that the implementation executes",
        Units.gmacs,
        Combine.same,
        deterministic="10^9 executed multiply-adds",
    )
    operator_gmacs: float | None = column(
        "the share of gmacs in the operator that mixes tokens: GLA, selective scan, Bi-WKV", Units.gmacs, Combine.same
    )
    flop_coverage: float | None = column(
        "share of operator calls that the counting rule covers, 0 to 1", Units.ratio, Combine.same
    )
    uncounted_operators: str | None = column(
        "operators without a formula, `;`-separated; they count as 0",
        Units.text,
        Combine.same,
        deterministic="operators without a count of multiply-adds",
    )
    # correctness
    output_error: float | None = column(
        "largest output difference from the reference implementation / largest reference output",
        Units.ratio,
        Combine.largest,
    )
    gradient_error: float | None = column(
        "training: the same for gradients, the largest over all parameters and the input", Units.ratio, Combine.largest
    )
    gate_resolution: Resolution | None = column(
        "models: resolution at which that was checked, px", Units.px, Combine.smallest
    )
    gate_length: int | None = column("operators: tokens at which that was checked", Units.tokens, Combine.smallest)
    # the path that ran
    operator_calls: int | None = column(
        "torch operators that one call dispatches", Units.count, Combine.largest, deterministic="operator calls"
    )
    kernel_launches: int | None = column(
        "CUDA: kernels that one call launches", Units.count, Combine.largest, deterministic="kernel launches"
    )
    sdpa_backend: str | None = column(
        "backend of scaled_dot_product_attention that ran: flash, efficient, cudnn, math", Units.text, Combine.joined
    )
    # several ranks
    rank_threads: int | None = column("several ranks, CPU: threads of each", Units.count, Combine.same)
    sent_mib_per_rank: float | None = column(
        "several ranks: MiB that a rank sends in one iteration, counted where it is sent; the most of any",
        Units.sent_mib,
        Combine.same,
        shown=Shown("Sent by a rank", "traffic"),
    )
    received_mib_per_rank: float | None = column(
        "several ranks: MiB that a rank receives in one iteration; the most of any", Units.sent_mib, Combine.same
    )
    formula_mib_per_rank: float | None = column(
        "several ranks, operators: MiB that a rank sends by the formulas of docs/sequence-parallel.md",
        Units.sent_mib,
        Combine.same,
    )
    exchanges: int | None = column(
        "several ranks: collective and point-to-point calls of a rank in one iteration; the most of any",
        Units.count,
        Combine.same,
    )
    # bookkeeping
    start_s: float | None = _seconds(
        "seconds from asking for the worker until it speaks; the first case of a run waits for imports", "start"
    )
    device_s: float | None = _seconds("CUDA: seconds to open the device: driver and context", "device")
    build_s: float | None = _seconds("seconds to build the model and its inputs and move them to the device", "build")
    cost_s: float | None = _seconds("seconds to count multiply-adds", "cost")
    check_s: float | None = _seconds(
        "seconds of the correctness gate, in which kernels are compiled and libraries loaded", "check"
    )
    reference_s: float | None = _seconds(
        "those of them in which reference implementations computed; 0 where the results of an earlier case were kept"
    )
    warmup_s: float | None = _seconds("seconds of warm-up", "warm-up")
    memory_s: float | None = _seconds("seconds of the memory pass", "memory")
    timing_s: float | None = _seconds(
        "seconds of timing: latency, throughput, kernel time, energy, and the looks at other processes", "timing"
    )
    path_s: float | None = _seconds("seconds to profile what ran", "path")
    end_s: float | None = _seconds(
        "seconds from the outcome until the process and all that it held is gone, and of bookkeeping", "end"
    )
    compile_s: float | None = _seconds("seconds of the first call where `compile` is on")
    kernel_compile_s: float | None = _seconds(
        "seconds that Triton compiled (or loaded) kernels before timing; empty where there are none"
    )
    graph_breaks: int | None = column(
        "places at which torch.compile had to leave the model to Python; empty without `compile`",
        Units.count,
        Combine.largest,
        shown=Shown("Graph breaks", "graph breaks"),
    )
    case_s: float | None = column(
        "seconds from asking for the worker to the record, of all processes and attempts: the sum of "
        "start_s, device_s, build_s, cost_s, check_s, warmup_s, memory_s, timing_s, path_s and end_s",
        Units.s,
        Combine.afterwards,
    )
    timeout_s: float | None = column(
        "seconds after which each worker process was to be stopped", Units.s, Combine.afterwards
    )
    other_load: float | None = column(
        "share of the time of the cores at hand that others used before timing, 0 to 1", Units.ratio, Combine.largest
    )
    other_load_after: float | None = column("the same after timing", Units.ratio, Combine.largest)
    waiting: str | None = column(
        "CPU: how the worker's threads wait for each other, chosen by the load just before the case; rows that differ "
        "in it are not compared",
        Units.text,
        Combine.same,
    )
    allocation: str | None = column(
        "CPU: what the worker's allocator was told; rows that differ in it are not compared", Units.text, Combine.same
    )
    gpu_others: int | None = column("CUDA: other processes on the GPU, the most seen", Units.count, Combine.largest)
    rate_drop: float | None = column(
        "drop of a fixed matmul's rate from before to after timing, 0 to 1; above 0.1 marks `contended`",
        Units.ratio,
        Combine.largest,
    )


def _declared() -> dict[str, Column]:
    found = {name: field.json_schema_extra for name, field in Metrics.model_fields.items()}
    assert all(isinstance(declared, Column) for declared in found.values()), "a metric is declared by `column`"
    return {name: declared for name, declared in found.items() if isinstance(declared, Column)}


COLUMNS = _declared()
"""What is declared of each metric, in order."""
SOURCES = {name: column.source for name, column in COLUMNS.items() if column.source}
"""Metric -> the column that says where its value comes from; values of two sources do not compare."""


def of_source(source: str) -> tuple[str, ...]:
    """The columns that are filled or empty together with `source`, itself last."""
    found = [(name, *(column.interval or ())) for name, column in COLUMNS.items() if column.source == source]
    return (*chain.from_iterable(found), source)


def with_interval(name: str, middle: float, low: float, high: float) -> dict[str, float]:
    """A metric and the ends of its 95% interval as columns."""
    interval = COLUMNS[name].interval
    assert interval is not None
    return {name: middle, **dict(zip(interval, (low, high), strict=True))}
