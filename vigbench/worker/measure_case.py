"""From a case to its outcome, by protocol 1 (docs/measurement.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vigbench.measure.closed_form import are_disputed, closed_form_of_case
from vigbench.measure.compilation import watch_kernels
from vigbench.measure.latency import measure_parts
from vigbench.measure.launch import LAUNCH_BOUND_BELOW
from vigbench.measure.sampling import robust_interval
from vigbench.records.kernel_time import KernelTimeSource
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Status
from vigbench.suites.case import Case
from vigbench.worker.check_call import finite_loss
from vigbench.worker.columns import (
    cost_columns,
    interval_columns,
    kernel_columns,
    latency_columns,
    memory_columns,
    path_columns,
    raw_samples,
    surroundings_columns,
    throughput_columns,
)
from vigbench.worker.failures import guarded
from vigbench.worker.messages import Outcome
from vigbench.worker.observe import look_inside, measure_call_memory, measure_call_timing
from vigbench.worker.prepare import Prepared, prepare
from vigbench.worker.references import References
from vigbench.worker.training_step import describe_optimizer

PARTS_SHARE = 0.4  # of the sampling budget of a training step, for its parts
OnStage = Callable[[str], None]


def measure_case(
    case: Case, budget_s: float, on_stage: OnStage, *, calibrate: bool = False, references: Path | None = None
) -> Outcome:
    """Measure one case in this process; every foreseeable failure becomes a status with a reason.

    Args:
        case: what to measure.
        budget_s: seconds for warm-up and sampling.
        on_stage: told what happens now, in a word.
        calibrate: whether a fixed workload takes turns with the case.
        references: folder in which the run keeps what references computed; None: nowhere.
    """

    def measure() -> Outcome:
        with watch_kernels() as kernel_s:
            prepared = replace(prepare(case, budget_s, on_stage, References(references)), kernel_s=kernel_s)
        return _measure(prepared, max(0.0, budget_s - prepared.warmup_s), on_stage, calibrate)

    return guarded(case, measure)


def _measure(prepared: Prepared, budget_s: float, on_stage: OnStage, calibrate: bool) -> Outcome:
    on_stage("memory")
    held = measure_call_memory(prepared)

    on_stage("timing")
    share = _share_for_parts(prepared)
    taken = measure_call_timing(prepared, (1 - share) * budget_s, calibrate)
    parts = _step_parts(prepared, share * budget_s)

    on_stage("path")
    ran = look_inside(prepared)
    timing, checked, case = taken.timing, prepared.checked, prepared.case
    items = prepared.task.items(case)
    of_pass = closed_form_of_case(case)
    closed_form = None if of_pass is None else of_pass * (case.windows or 1)
    metrics = Metrics.model_validate(
        {
            **latency_columns(timing),
            **throughput_columns(timing, items, prepared.task.voxels(case)),
            **memory_columns(held.memory, held.saved_for_backward, held.gradients),
            **cost_columns(prepared.cost, prepared.operator, closed_form, items // case.batch_size),
            **path_columns(ran.path),
            **kernel_columns(taken.kernel, ran.work),
            **surroundings_columns(taken),
            **parts.columns,
            **_drift_columns(prepared),
            "windows": case.windows,
            "warmup_iterations": prepared.warmup_iterations,
            "output_error": checked.error,
            "gradient_error": checked.gradient_error,
            **{f"gate_{axis}": value for axis, value in checked.size.items()},
            "reference_s": prepared.reference_s,
            "compile_s": prepared.compile_s,
            "kernel_compile_s": sum(prepared.kernel_s) if prepared.kernel_s else None,
            "graph_breaks": prepared.compilation and prepared.compilation.graph_breaks,
        }
    )
    busy = metrics.device_busy_share
    found = {
        "not_converged": not (timing.latency.converged and timing.throughput.converged and parts.converged),
        "unsteady": timing.latency.unsteady or timing.throughput.unsteady,
        "contended": taken.contended,
        "throttled": taken.state.throttled,
        "launch_bound": busy is not None and busy < LAUNCH_BOUND_BELOW,
        "launch_exposed": metrics.kernel_time_source not in (None, KernelTimeSource.events),
        "flops_disputed": not prepared.cost.refusal and are_disputed(prepared.cost.macs, closed_form),
        "uncounted": bool(prepared.cost.refusal),
        "unverified": checked.unverified or taken.unverified,
    }
    return Outcome(
        status=Status.ok,
        operator=prepared.operator,
        marks=tuple(mark for mark, holds in found.items() if holds),
        metrics=metrics,
        samples={**raw_samples(taken, ran.work), **parts.samples},
        operators=dict(ran.path.operators),
        kernels=dict(ran.path.kernels),
    )


@dataclass(frozen=True)
class _StepParts:
    """What the parts of a training step took; empty for every other case."""

    columns: dict[str, float | str] = field(default_factory=dict)
    samples: dict[str, tuple[float, ...]] = field(default_factory=dict)
    converged: bool = True


def _share_for_parts(prepared: Prepared) -> float:
    """The share of the sampling budget that the parts get: none where there are none to time apart."""
    return PARTS_SHARE if prepared.step is not None and not prepared.case.cuda_graph else 0.0


def _step_parts(prepared: Prepared, budget_s: float) -> _StepParts:
    """Time forward pass, backward pass and update apart, each synchronised; a captured graph has no parts.

    Args:
        prepared: a case that is right and warm.
        budget_s: seconds of sampling.
    """
    step = prepared.step
    if step is None or prepared.case.cuda_graph:
        return _StepParts()
    parts = {"forward": step.forward, "backward": step.backward, "optimizer": step.update}
    taken = measure_parts(parts, prepared.synchronize, prepared.criterion, budget_s)
    columns: dict[str, float | str] = {}
    for name, series in taken.by_name.items():
        columns |= interval_columns(f"{name}_ms", robust_interval(series))
    return _StepParts(
        columns=columns,
        samples={f"{name}_ms": tuple(1e3 * seconds for seconds in series) for name, series in taken.by_name.items()},
        converged=taken.converged,
    )


def _drift_columns(prepared: Prepared) -> dict[str, float | str]:
    """The optimiser, and how far the loss has come since the check; after everything else has been measured.

    Raises:
        WrongResultError: if the loss is no longer finite.
    """
    step, first = prepared.step, prepared.first_loss
    if step is None or first is None:
        return {}
    drift = abs(finite_loss(step) - first)
    return {"optimizer": describe_optimizer(step.optimizer), "loss_drift": drift / first if first else drift}
