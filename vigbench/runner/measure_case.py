"""Inside the worker: from a case to its outcome, by protocol 1 (docs/measurement.md)."""

from __future__ import annotations

from collections.abc import Callable

from vigbench.measure.calibration import calibration_workload
from vigbench.measure.contention import CONTENDED_DROP, CONTENDED_LOAD, load_of_others, workload_rate
from vigbench.measure.latency import Timing, measure_timing, timed
from vigbench.measure.memory import measure_memory
from vigbench.records.schema import Metrics, Status
from vigbench.runner.columns import (
    cost_columns,
    latency_columns,
    memory_columns,
    path_columns,
    throughput_columns,
)
from vigbench.runner.failures import guarded
from vigbench.runner.messages import Outcome
from vigbench.runner.prepare import Prepared, prepare
from vigbench.suites.case import Case

OnStage = Callable[[str], None]


def measure_case(case: Case, budget_s: float, on_stage: OnStage, *, calibrate: bool = False) -> Outcome:
    """Measure one case in this process; every foreseeable failure becomes a status with a reason.

    Args:
        case: what to measure.
        budget_s: seconds for warm-up and sampling.
        on_stage: told what happens now, in a word.
        calibrate: whether a fixed workload takes turns with the case.
    """

    def measure() -> Outcome:
        prepared = prepare(case, budget_s, on_stage)
        return _measure(prepared, max(0.0, budget_s - prepared.warmup_s), on_stage, calibrate)

    return guarded(case, measure)


def _measure(prepared: Prepared, budget_s: float, on_stage: OnStage, calibrate: bool) -> Outcome:
    case, call, synchronize, device = prepared.case, prepared.call, prepared.synchronize, prepared.inputs.device
    on_stage("memory")
    memory = measure_memory(call, prepared.model, prepared.inputs)
    if case.device == "cuda":
        call()  # refills the allocator's cache, which the memory pass emptied

    on_stage("timing")
    synchronize()
    load_before = load_of_others()
    rate_before = workload_rate(device)
    calibration = timed(calibration_workload(device), synchronize) if calibrate else None
    timing = measure_timing(
        call,
        synchronize,
        queued=case.device == "cuda",
        criterion=prepared.criterion,
        budget_s=budget_s,
        calibration=calibration,
    )
    rate_drop = max(0.0, 1 - workload_rate(device) / rate_before)
    load_after = load_of_others()

    metrics = Metrics.model_validate(
        {
            **latency_columns(timing),
            **throughput_columns(timing, case.batch_size),
            **memory_columns(memory),
            **cost_columns(prepared.cost, prepared.operator),
            **path_columns(prepared.path),
            "warmup_iterations": prepared.warmup_iterations,
            "output_error": prepared.gate.error,
            "gradient_error": prepared.gate.gradient_error,
            "gate_resolution": prepared.gate.resolution,
            "build_s": prepared.build_s,
            "compile_s": prepared.compile_s,
            "other_load": load_before,
            "other_load_after": load_after,
            "rate_drop": rate_drop,
        }
    )
    found = {
        "not_converged": not (timing.latency.converged and timing.throughput.converged),
        "unsteady": timing.latency.unsteady or timing.throughput.unsteady,
        "contended": rate_drop > CONTENDED_DROP or max(load_before, load_after) > CONTENDED_LOAD,
        "unverified": prepared.gate.unverified,
    }
    return Outcome(
        status=Status.ok,
        operator=prepared.operator,
        marks=tuple(mark for mark, holds in found.items() if holds),
        metrics=metrics,
        samples=_samples(timing),
        operators=dict(prepared.path.operators),
        kernels=dict(prepared.path.kernels),
    )


def _samples(timing: Timing) -> dict[str, tuple[float, ...]]:
    seconds = {"latency_ms": timing.latency.durations_s, "calibration_ms": timing.calibration_s}
    if timing.throughput is not timing.latency:
        seconds["queued_call_ms"] = timing.throughput.durations_s
    return {name: tuple(1e3 * one for one in values) for name, values in seconds.items() if values}
