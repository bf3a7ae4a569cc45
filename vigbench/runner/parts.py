"""Inside the worker: the parts of a training step in time, and what its optimiser did meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field

from vigbench.measure.parts import measure_parts
from vigbench.measure.sampling import robust_interval
from vigbench.runner.columns import interval_columns
from vigbench.runner.prepare import Prepared
from vigbench.runner.step_check import finite_loss
from vigbench.runner.training_step import describe_optimizer

PARTS_SHARE = 0.4  # of the sampling budget of a training step, for its parts


@dataclass(frozen=True)
class StepParts:
    """What the parts of a training step took; empty for every other case."""

    columns: dict[str, float | str] = field(default_factory=dict)
    samples: dict[str, tuple[float, ...]] = field(default_factory=dict)
    converged: bool = True


def share_for_parts(prepared: Prepared) -> float:
    """The share of the sampling budget that the parts get: none where there are none to time apart."""
    return PARTS_SHARE if prepared.step is not None and not prepared.case.cuda_graph else 0.0


def measure_step_parts(prepared: Prepared, budget_s: float) -> StepParts:
    """Time forward pass, backward pass and update apart, each synchronised; a captured graph has no parts.

    Args:
        prepared: a case that is right and warm.
        budget_s: seconds of sampling.
    """
    step = prepared.step
    if step is None or prepared.case.cuda_graph:
        return StepParts()
    parts = {"forward": step.forward, "backward": step.backward, "optimizer": step.update}
    taken = measure_parts(parts, prepared.synchronize, prepared.criterion, budget_s)
    columns: dict[str, float | str] = {}
    for name, series in taken.by_name.items():
        columns |= interval_columns(name, robust_interval(series))
    return StepParts(
        columns=columns,
        samples={f"{name}_ms": tuple(1e3 * one for one in series) for name, series in taken.by_name.items()},
        converged=taken.converged,
    )


def drift_columns(prepared: Prepared) -> dict[str, float | str]:
    """The optimiser, and how far the loss has come since the check; after everything else has been measured.

    Raises:
        WrongResultError: if the loss is no longer finite.
    """
    step, first = prepared.step, prepared.first_loss
    if step is None or first is None:
        return {}
    drift = abs(finite_loss(step) - first)
    return {"optimizer": describe_optimizer(step.optimizer), "loss_drift": drift / first if first else drift}
