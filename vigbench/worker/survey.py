"""What a plan has to know of a subject: whether it can be built, what its items are, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from vigbench.measure.closed_form import closed_form_of_case
from vigbench.measure.cost import Cost, count_cost
from vigbench.records.schema import Status
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import build_case, require_buildable, task_of
from vigbench.subjects.factory import in_one_line
from vigbench.suites.arguments import args_of
from vigbench.suites.axes import ALL, Device
from vigbench.suites.case import Case
from vigbench.worker.messages import Outcome

T = TypeVar("T")


class Facts(BaseModel):
    """What is known of a case before it is measured.

    Attributes:
        unit: what one item of a batch is.
        gmacs: 10^9 multiply-adds of one item; None where it cannot be counted.
        bytes_moved: bytes of inputs and outputs that a call has to move, where the task says so.
    """

    model_config = ConfigDict(frozen=True)

    unit: str = "image"
    gmacs: float | None = None
    bytes_moved: tuple[int, int] | None = None


class Survey(BaseModel):
    """The facts of several cases of a subject, or why it cannot be measured; that is a complete message."""

    problem: str = ""
    facts: tuple[Facts, ...] = ()


def require_measurable(cases: Sequence[Case]) -> None:
    """Raise ValueError, with advice, if these cases of one subject make no sense, or no model can be built."""
    subject = cases[0].subject
    task = task_of(subject)
    for case in cases:
        task.require_axes(subject, ("length", "shape") if case.resolution is None else ("resolution",))
        task.require(case)
    for args in dict.fromkeys(case.args for case in cases):
        sides = dict.fromkeys(case.built_for for case in cases if case.args == args and case.built_for is not None)
        require_buildable(subject, list(sides), args_of(args))


def survey_here(argument: str) -> Outcome:
    """The survey of some cases of one subject, in JSON, as an outcome's description. Runs the subject's code."""
    cases = [Case.model_validate(case) for case in json.loads(argument)]
    try:
        require_measurable(cases)
        survey = Survey(facts=tuple(map(facts_here, cases)))
    except ValueError as error:
        survey = Survey(problem=str(error))
    except (Exception, SystemExit) as error:
        survey = Survey(problem=f"Subject {cases[0].subject!r}: {in_one_line(error)}")
    return Outcome(status=Status.ok, description=survey.model_dump_json())


def facts_here(case: Case) -> Facts:
    """What is known of a case, by its subject's own code where it has any; of what that fails to say, nothing."""
    task = task_of(case.subject)
    defaults = {axis.name: axis.default for axis in ALL if not axis.of_size}
    usual = case.model_copy(update={**defaults, "resolution": case.built_for, "scan": None})
    gmacs = _gmacs(usual)
    gmacs = None if gmacs is None else gmacs * (case.windows or 1)
    # the ceilings that this is set beside are those of one device
    moved = or_none(lambda: task.bytes_moved(case)) if case.ranks == 1 else None
    return Facts(unit=task.unit, gmacs=gmacs, bytes_moved=moved)


@lru_cache(maxsize=1024)
def _gmacs(case: Case) -> float | None:
    """Of a case with all settings that change no item's multiply-adds as usual: counting takes half a second."""
    known = or_none(lambda: task_of(case.subject).macs(case)) or closed_form_of_case(case)
    macs = or_none(lambda: count_subject(case).macs) if known is None else known
    return None if macs is None else macs / 1e9


def count_subject(case: Case) -> Cost:
    """Count one item through a model that is built without weights. Raises what building or counting it raises."""
    alone = case.model_copy(update={"batch_size": 1, "device": Device.cpu})
    task = task_of(case.subject)
    return count_cost(build_on_meta(lambda: build_case(alone)), *task.arguments(task.make_inputs(alone)))


def or_none(ask: Callable[[], T]) -> T | None:
    """What a subject's code answers; None if it fails, which the case's own worker will say."""
    try:
        return ask()
    except (Exception, SystemExit):
        return None
