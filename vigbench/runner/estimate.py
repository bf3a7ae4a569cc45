"""What a case costs and how long it may take, before anything is measured."""

from __future__ import annotations

from functools import lru_cache

from vigbench.measure.closed_form import closed_form_macs
from vigbench.measure.cost import Cost, count_cost
from vigbench.measure.settings import default_threads
from vigbench.subjects.catalog import build_on_meta, build_subject
from vigbench.subjects.operators import OPERATORS
from vigbench.suites.case import Case
from vigbench.suites.planner import estimate_s

UNKNOWN_GMACS = 5.0  # for the estimate alone, where a subject cannot be counted


def count_subject(subject: str, implementation: str, resolution: int) -> Cost:
    """Count one image through a model, on the meta device. Raises what building or counting it raises."""
    model = build_on_meta(lambda: build_subject(subject, implementation, resolution))
    return count_cost(model, (1, 3, resolution, resolution))


@lru_cache(maxsize=1024)
def gmacs_per_image(subject: str, implementation: str, resolution: int) -> float:
    """10^9 multiply-adds of one forward pass, for estimates; a guess where the subject cannot be counted."""
    if (known := closed_form_macs(subject, resolution)) is not None:
        return known / 1e9  # counting a model takes half a second, and a suite has dozens
    try:
        return count_subject(subject, implementation, resolution).macs / 1e9
    except Exception:  # the worker will say what is wrong with it; an estimate must not stop the plan
        return UNKNOWN_GMACS


def gmacs_of(case: Case) -> float:
    """10^9 multiply-adds of one forward pass of one image, or of one sequence."""
    if case.resolution is None:
        assert case.length is not None
        assert case.shape is not None
        return OPERATORS[case.subject].macs(case.length, *case.shape) / 1e9
    return gmacs_per_image(case.subject, case.implementation, case.resolution)


def estimated_s(case: Case, processes: int = 1) -> float:
    """Seconds that a case may take on this machine, see `planner.estimate_s`."""
    return estimate_s(case, gmacs_of(case), case.threads or default_threads(), processes)
