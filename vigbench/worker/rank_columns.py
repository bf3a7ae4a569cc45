"""From what ranks found to the outcome of their case."""

from __future__ import annotations

from typing import Any

from vigbench.analysis.rank_scaling import sent_bytes
from vigbench.measure.closed_form import are_disputed, closed_form_of_case
from vigbench.measure.memory import MIB
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Status
from vigbench.worker.columns import (
    cost_columns,
    latency_columns,
    memory_columns,
    path_columns,
    raw_samples,
    surroundings_columns,
    throughput_columns,
)
from vigbench.worker.messages import Outcome
from vigbench.worker.rank_case import TeamResult


def outcome_of(found: TeamResult) -> Outcome:
    """The outcome of a case of several ranks; what a single process alone has is empty."""
    case, taken, checked, cost = found.case, found.timing, found.checked, found.cost
    closed_form, items = closed_form_of_case(case), found.task.items(case)
    on_paper = sent_bytes(case, found.operator)
    columns: dict[str, Any] = {
        **latency_columns(taken.timing),
        **throughput_columns(taken.timing, items, found.task.voxels(case)),
        **memory_columns(found.memory, None, None),
        **cost_columns(cost, found.operator, closed_form, items // case.batch_size),
        "executed_gmacs": None,  # counted without the exchange of states
        **path_columns(found.path),
        **surroundings_columns(taken),
        "warmup_iterations": found.warmup_iterations,
        "output_error": checked.error,
        "gradient_error": checked.gradient_error,
        **{f"gate_{axis}": value for axis, value in checked.size.items()},
        "reference_s": found.reference_s,
        "rank_threads": found.threads if case.device == "cpu" else None,
        "sent_mib_per_rank": found.traffic.sent / MIB,
        "received_mib_per_rank": found.traffic.received / MIB,
        "formula_mib_per_rank": None if on_paper is None else on_paper / MIB,
        "exchanges": found.traffic.calls,
    }
    marks = {
        "not_converged": not taken.timing.latency.converged,
        "unsteady": taken.timing.latency.unsteady,
        "contended": taken.contended,
        "throttled": taken.state.throttled,
        "flops_disputed": not cost.refusal and are_disputed(cost.macs, closed_form),
        "uncounted": bool(cost.refusal),
        "unverified": checked.unverified,
    }
    return Outcome(
        status=Status.ok,
        operator=found.operator,
        marks=tuple(mark for mark, holds in marks.items() if holds),
        metrics=Metrics.model_validate(columns),
        samples=raw_samples(taken, None),
        operators=dict(found.path.operators),
        kernels=dict(found.path.kernels),
    )
