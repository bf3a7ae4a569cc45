"""What a record holds: one row for each case, units in every name."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vigbench.records.kernel_time import KernelTimeSource
from vigbench.suites.case import Case

PROTOCOL = 1  # the version of docs/measurement.md by which the numbers are obtained


class Status(StrEnum):
    """How a case ended; exactly one for each case."""

    ok = "ok"
    out_of_memory = "out_of_memory"
    timeout = "timeout"
    crashed = "crashed"
    wrong_result = "wrong_result"
    unsupported = "unsupported"
    pruned = "pruned"
    error = "error"


# of the code that was measured, not of the machine or the settings
FAULTS = (Status.error, Status.crashed, Status.wrong_result)


class Metrics(BaseModel):
    """The numbers of one case. A field that was not measured is empty, never zero."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # latency: one synchronised call
    latency_ms: float | None = Field(
        None, description="median latency of one synchronised call; of several processes the geometric mean of theirs"
    )
    latency_low_ms: float | None = Field(
        None,
        description="lower end of its 95% interval: order statistics; of several processes, their spread included",
    )
    latency_high_ms: float | None = Field(None, description="upper end of that interval")
    latency_p90_ms: float | None = Field(None, description="90th percentile; empty below 29 samples")
    latency_p95_ms: float | None = Field(None, description="95th percentile; empty below 59 samples")
    latency_p99_ms: float | None = Field(None, description="99th percentile; empty below 299 samples")
    samples: int | None = Field(None, description="timed calls behind the latency columns")
    warmup_iterations: int | None = Field(None, description="calls before the first timed one")
    outliers: int | None = Field(None, description="timed calls outside the far Tukey fences; kept in every figure")
    effective_samples: float | None = Field(
        None, description="independent samples that `samples` are worth, after their autocorrelation"
    )
    calibrated_latency: float | None = Field(
        None, description="latency / duration of a fixed workload run in the same blocks; comparable between moments"
    )
    processes: int | None = Field(None, description="worker processes behind the samples")
    attempts: int | None = Field(
        None, description="times the case was measured; 2 if the first was `contended`, and the quieter one is kept"
    )
    # training_step: its parts, each synchronised, in the order run
    forward_ms: float | None = Field(
        None, description="training_step: median of the forward pass, recorded by autograd, and the loss"
    )
    forward_low_ms: float | None = Field(None, description="lower end of forward_ms's 95% interval")
    forward_high_ms: float | None = Field(None, description="upper end of forward_ms's 95% interval")
    backward_ms: float | None = Field(None, description="training_step: median of the backward pass")
    backward_low_ms: float | None = Field(None, description="lower end of backward_ms's 95% interval")
    backward_high_ms: float | None = Field(None, description="upper end of backward_ms's 95% interval")
    optimizer_ms: float | None = Field(
        None, description="training_step: median of the optimiser's update and the clearing of gradients"
    )
    optimizer_low_ms: float | None = Field(None, description="lower end of optimizer_ms's 95% interval")
    optimizer_high_ms: float | None = Field(None, description="upper end of optimizer_ms's 95% interval")
    optimizer: str | None = Field(None, description="training_step: the optimiser and its settings")
    loss_drift: float | None = Field(
        None, description="training_step: |loss after all steps / loss before - 1|: how far measuring has trained"
    )
    # CUDA: the device's own time
    kernel_ms: float | None = Field(
        None, description="CUDA: device time of one call from a cold L2 cache, as `kernel_time_source` says"
    )
    kernel_low_ms: float | None = Field(None, description="lower end of kernel_ms's 95% interval")
    kernel_high_ms: float | None = Field(None, description="upper end of kernel_ms's 95% interval")
    kernel_time_source: KernelTimeSource | None = Field(
        None,
        description="CUDA: `events`: from an event before the call to one after it, launches hidden; `profile`: the "
        "sum of kernel durations in the profiler, without the pauses between kernels; `profile_warm`: the same, L2 not "
        "flushed; `events_exposed`: events with launches not hidden, an upper bound",
    )
    device_busy_share: float | None = Field(
        None,
        description="CUDA: time with a kernel running / latency of calls just before, 0 to 1; below 0.8 marks "
        "`launch_bound`",
    )
    # throughput: queued calls, one synchronisation a block
    throughput_img_per_s: float | None = Field(
        None, description="images (operators: sequences) per second, median over blocks"
    )
    throughput_low_img_per_s: float | None = Field(None, description="lower end of the throughput's 95% interval")
    throughput_high_img_per_s: float | None = Field(None, description="upper end of the throughput's 95% interval")
    # operators: what their definition asks for, over device time (CUDA: kernel_ms, CPU: latency_ms)
    achieved_gb_per_s: float | None = Field(
        None,
        description="operators: 10^9 bytes of inputs and outputs, each once, per second of kernel_ms (CPU: "
        "latency_ms); training: those of the forward and those of the backward pass",
    )
    achieved_tflop_per_s: float | None = Field(
        None,
        description="operators: 2 x 10^12 algorithmic multiply-adds per second of the same time; training: 3 forwards'",
    )
    bandwidth_share: float | None = Field(
        None,
        description="operators: achieved_gb_per_s / what a large copy reaches on this device; 0 to 1, and above where "
        "data stay in a cache",
    )
    compute_share: float | None = Field(
        None,
        description="operators: achieved_tflop_per_s / what a large matrix product reaches here in this precision, "
        "0 to 1",
    )
    extra_memory_share: float | None = Field(
        None,
        description="operators: peak memory beyond inputs and output (training: and their gradients) / the size of "
        "those; 0 is the least",
    )
    # memory
    weights_mib: float | None = Field(None, description="parameters and buffers")
    inputs_mib: float | None = Field(
        None,
        description="the input batch; operators: all tensors that are given, in training also the output's gradient",
    )
    activation_memory_mib: float | None = Field(
        None,
        description="peak - weights - inputs, by torch's allocator; training_step: without optimizer_state_mib and "
        "gradients_at_peak_mib too, so that these five add up to the peak",
    )
    optimizer_state_mib: float | None = Field(
        None, description="training_step: what the optimiser keeps: two moments and a counter for each parameter"
    )
    gradients_mib: float | None = Field(None, description="training_step: gradients after the backward pass")
    gradients_at_peak_mib: float | None = Field(
        None, description="training_step: those of them that are stored when memory is at its peak"
    )
    peak_memory_mib: float | None = Field(
        None, description="allocator peak of one iteration, weights and inputs included"
    )
    reserved_memory_mib: float | None = Field(
        None, description="CUDA: memory that the caching allocator held at the peak"
    )
    allocator_slack_mib: float | None = Field(
        None, description="CUDA: reserved minus allocated at the peak: cached, or lost to fragmentation"
    )
    saved_for_backward_mib: float | None = Field(
        None, description="training: what autograd keeps from the forward for the backward pass, weights and inputs out"
    )
    process_peak_memory_mib: float | None = Field(
        None, description="CPU: resident memory of the process at its peak during one iteration, torch itself included"
    )
    process_growth_mib: float | None = Field(
        None,
        description="CPU: growth of resident memory without pages of files, from just before to its peak",
    )
    largest_batch: int | None = Field(
        None, description="with --max-batch: largest batch that fits, by bisection in fresh processes"
    )
    # energy and the state of the device during timing
    energy_j_per_img: float | None = Field(
        None, description="joules per image (operators: sequence) while timing, by energy_source"
    )
    energy_source: str | None = Field(None, description="counter behind the energy, or why there is none")
    power_w: float | None = Field(None, description="CUDA: median board power while timing")
    sm_clock_mhz: float | None = Field(None, description="CUDA: median SM clock while timing")
    temperature_c: float | None = Field(None, description="CUDA: highest GPU temperature while timing")
    throttle_reasons: str | None = Field(
        None, description="CUDA: reasons for lowered clocks seen while timing, `;`-separated"
    )
    # cost, for one image (operators: one sequence), forward
    params: int | None = Field(None, description="trainable parameters")
    gmacs: float | None = Field(
        None, description="10^9 multiply-adds per image (operators: sequence), algorithmic (docs/measurement.md)"
    )
    closed_form_gmacs: float | None = Field(
        None,
        description="the same by a formula written from the architecture; more than 0.5% apart marks `flops_disputed`",
    )
    executed_gmacs: float | None = Field(
        None, description="10^9 multiply-adds per image (operators: sequence) that the implementation executes"
    )
    operator_gmacs: float | None = Field(
        None, description="the share of gmacs in the operator that mixes tokens: GLA, selective scan, Bi-WKV"
    )
    flop_coverage: float | None = Field(
        None, description="share of operator calls that the counting rule covers, 0 to 1"
    )
    uncounted_operators: str | None = Field(
        None, description="operators without a formula, `;`-separated; they count as 0"
    )
    # correctness
    output_error: float | None = Field(
        None, description="largest output difference from the reference implementation / largest reference output"
    )
    gradient_error: float | None = Field(
        None, description="training: the same for gradients, the largest over all parameters and the input"
    )
    gate_resolution: int | None = Field(None, description="models: resolution at which that was checked, px")
    gate_length: int | None = Field(None, description="operators: tokens at which that was checked")
    # the path that ran
    operator_calls: int | None = Field(None, description="torch operators that one call dispatches")
    kernel_launches: int | None = Field(None, description="CUDA: kernels that one call launches")
    sdpa_backend: str | None = Field(
        None, description="backend of scaled_dot_product_attention that ran: flash, efficient, cudnn, math"
    )
    # bookkeeping
    start_s: float | None = Field(
        None,
        description="seconds from asking for the worker until it speaks; the first case of a run waits for imports",
    )
    device_s: float | None = Field(None, description="CUDA: seconds to open the device: driver and context")
    build_s: float | None = Field(
        None, description="seconds to build the model and its inputs and move them to the device"
    )
    cost_s: float | None = Field(None, description="seconds to count multiply-adds")
    check_s: float | None = Field(
        None, description="seconds of the correctness gate, in which kernels are compiled and libraries loaded"
    )
    reference_s: float | None = Field(
        None,
        description="those of them in which reference implementations computed; 0 where the results of an earlier case "
        "were kept",
    )
    warmup_s: float | None = Field(None, description="seconds of warm-up")
    memory_s: float | None = Field(None, description="seconds of the memory pass")
    timing_s: float | None = Field(
        None,
        description="seconds of timing: latency, throughput, kernel time, energy, and the looks at other processes",
    )
    path_s: float | None = Field(None, description="seconds to profile what ran")
    end_s: float | None = Field(
        None, description="seconds from the outcome until the process and all that it held is gone, and of bookkeeping"
    )
    compile_s: float | None = Field(None, description="seconds of the first call where `compile` is on")
    kernel_compile_s: float | None = Field(
        None, description="seconds that Triton compiled (or loaded) kernels before timing; empty where there are none"
    )
    graph_breaks: int | None = Field(
        None, description="places at which torch.compile had to leave the model to Python; empty without `compile`"
    )
    case_s: float | None = Field(
        None,
        description="seconds from asking for the worker to the record, of all processes and attempts: the sum of "
        "start_s, device_s, build_s, cost_s, check_s, warmup_s, memory_s, timing_s, path_s and end_s",
    )
    timeout_s: float | None = Field(None, description="seconds after which each worker process was to be stopped")
    other_load: float | None = Field(
        None, description="share of the machine's CPU used by others before timing, 0 to 1"
    )
    other_load_after: float | None = Field(None, description="the same after timing")
    gpu_others: int | None = Field(None, description="CUDA: other processes on the GPU, the most seen")
    rate_drop: float | None = Field(
        None,
        description="drop of a fixed matmul's rate from before to after timing, 0 to 1; above 0.1 marks `contended`",
    )


class Record(BaseModel):
    """The one row that a case ends in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: str = Field(description="hash of the settings")
    case: Case
    family: str = Field(description="family: vig, deit, vim, linear, windowed, cnn or other")
    operator: str | None = Field(None, description="operator that `implementation` computes: gla, attention, or empty")
    status: Status = Field(description="how the case ended")
    reason: str = Field("", description="why the status is not ok, and what to do")
    marks: tuple[str, ...] = Field((), description="warnings on an ok record (docs/measurement.md), `;`-separated")
    started_at: str = Field(description="UTC, ISO 8601")
    metrics: Metrics = Field(default_factory=Metrics)

    def row(self) -> dict[str, Any]:
        """The record as one flat row of the CSV file, in the order of `columns()`."""
        flat: dict[str, Any] = {
            **self.model_dump(mode="json", exclude={"case", "metrics"}),
            **self.case.model_dump(mode="json"),
            **self.metrics.model_dump(mode="json"),
            "marks": ";".join(self.marks),
        }
        return {name: flat[name] for name in columns()}


def columns() -> dict[str, str]:
    """Column names of `records.csv` in order, each with its description."""
    own = {
        name: field.description or "" for name, field in Record.model_fields.items() if name not in ("case", "metrics")
    }
    settings = {name: field.description or "" for name, field in Case.model_fields.items()}
    metrics = {name: field.description or "" for name, field in Metrics.model_fields.items()}
    head = {name: own.pop(name) for name in ("case_id", "family")}
    first = {name: settings.pop(name) for name in ("subject",)}
    status = {name: own.pop(name) for name in ("status", "reason", "marks")}
    return {**head, **first, "operator": own.pop("operator"), **settings, **status, **metrics, **own}


def names_in(cell: Any) -> set[str]:
    """The names in a cell that holds several, `;`-separated, or none."""
    return set(cell.split(";")) - {""} if isinstance(cell, str) else set()


def first_mistake(error: ValidationError) -> str:
    """The first thing that does not fit, for a message."""
    mistake = error.errors(include_url=False, include_input=False)[0]
    message = mistake["msg"].removeprefix("Value error, ")
    return f"{'.'.join(map(str, mistake['loc']))}: {message}".removeprefix(": ")
