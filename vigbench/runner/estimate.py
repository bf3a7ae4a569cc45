"""What a case costs and how long it may take, before anything is measured."""

from __future__ import annotations

from functools import lru_cache

from vigbench.measure.closed_form import closed_form_macs
from vigbench.measure.cost import Cost, count_cost
from vigbench.measure.settings import default_threads
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import build_case, task_of
from vigbench.suites.axes import ALL, Device
from vigbench.suites.case import Case
from vigbench.suites.planner import estimate_s

UNKNOWN_GMACS = 5.0  # for the estimate alone, where a subject cannot be counted


def count_subject(case: Case) -> Cost:
    """Count one item through a model, on the meta device. Raises what building or counting it raises."""
    alone = case.model_copy(update={"batch_size": 1, "device": Device.cpu})
    task = task_of(case.subject)
    return count_cost(build_on_meta(lambda: build_case(alone)), *task.arguments(task.make_inputs(alone)))


@lru_cache(maxsize=1024)
def _gmacs(case: Case) -> float:
    try:
        known = task_of(case.subject).macs(case) or closed_form_macs(case.model, case.resolution)
        # counting a model takes half a second, and a suite has dozens
        return (count_subject(case).macs if known is None else known) / 1e9
    except Exception:  # the worker will say what is wrong with it; an estimate must not stop the plan
        return UNKNOWN_GMACS


def gmacs_of(case: Case) -> float:
    """10^9 multiply-adds of one forward pass of one item, for estimates; a guess where it cannot be counted."""
    return _gmacs(case.model_copy(update={axis.name: axis.default for axis in ALL if not axis.of_size}))


def estimated_s(case: Case, processes: int = 1) -> float:
    """Seconds that a case may take on this machine, see `planner.estimate_s`."""
    return estimate_s(case, gmacs_of(case), case.threads or default_threads(), processes)
