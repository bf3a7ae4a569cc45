"""What a case costs and how long it may take, before anything is measured."""

from __future__ import annotations

from functools import lru_cache

from vigbench.measure.closed_form import closed_form_macs
from vigbench.measure.settings import default_threads
from vigbench.runner.survey import facts_of
from vigbench.subjects.catalog import task_of
from vigbench.subjects.own import is_own
from vigbench.suites.axes import ALL
from vigbench.suites.case import Case
from vigbench.suites.planner import estimate_s
from vigbench.worker.survey import count_subject

UNKNOWN_GMACS = 5.0  # for the estimate alone, where a subject cannot be counted


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
    if is_own(case.subject):
        gmacs = facts_of(case).gmacs
        return UNKNOWN_GMACS if gmacs is None else gmacs
    return _gmacs(case.model_copy(update={axis.name: axis.default for axis in ALL if not axis.of_size}))


def estimated_s(case: Case, processes: int = 1) -> float:
    """Seconds that a case may take on this machine, see `planner.estimate_s`."""
    return estimate_s(case, gmacs_of(case), case.threads or default_threads(), processes)
