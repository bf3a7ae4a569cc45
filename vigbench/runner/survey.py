"""What a plan knows of its cases, and how long they may take. The user's own code is asked in a worker."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from vigbench.measure.settings import default_threads
from vigbench.records.schema import Status
from vigbench.runner.process import run_in_worker
from vigbench.subjects.own import is_own
from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.suites.planner import estimate_s
from vigbench.worker.messages import Errand, Job
from vigbench.worker.survey import Facts, Survey, facts_here, require_measurable

UNKNOWN_GMACS = 5.0  # for the estimate alone, where a subject cannot be counted
MOST_S = 60.0  # for a subject, all of its sizes together
_known: dict[tuple[str, Case], Facts] = {}


def survey(cases: Sequence[Case], timeout_s: float = MOST_S) -> None:
    """Look at every subject before anything is measured.

    A subject whose code hangs or crashes is passed over, and said on stderr: its cases will end so in their records.

    Raises:
        ValueError: if a case makes no sense, or a subject is not there or cannot be built; with advice.
    """
    by_subject: dict[str, list[Case]] = {}
    for case in cases:
        by_subject.setdefault(case.subject, []).append(case)
    for subject, its_cases in by_subject.items():
        if is_own(subject):
            _ask_worker(subject, its_cases, min(timeout_s, MOST_S))
        else:
            require_measurable(its_cases)


def facts_of(case: Case) -> Facts:
    """What is known of a case; of the user's own subject nothing is, if that could not be asked."""
    if not is_own(case.subject):
        return facts_here(case)
    if _key(case) not in _known:
        _ask_worker(case.subject, [case], MOST_S)
    return _known[_key(case)]


def gmacs_of(case: Case) -> float:
    """10^9 multiply-adds of one forward pass of one item, for estimates; a guess where it cannot be counted."""
    gmacs = facts_of(case).gmacs
    return UNKNOWN_GMACS if gmacs is None else gmacs


def estimated_s(case: Case, processes: int = 1) -> float:
    """Seconds that a case may take on this machine, see `planner.estimate_s`."""
    return estimate_s(case, gmacs_of(case), case.threads or default_threads(), processes)


def _ask_worker(subject: str, cases: Sequence[Case], timeout_s: float) -> None:
    job = Job(
        case=cases[0].model_copy(update={"device": Device.cpu, "threads": 1}),  # whose memory a worker caps
        errand=Errand.survey,
        argument=json.dumps([case.model_dump(mode="json") for case in cases]),
    )
    outcome = run_in_worker(job, timeout_s=timeout_s, on_stage=lambda _: None)
    answer = Survey()
    if outcome.status is Status.ok:
        answer = Survey.model_validate_json(outcome.description)
    else:
        print(f"vigbench: {subject} could not be looked at before measuring: {outcome.reason}", file=sys.stderr)
    if answer.problem:
        raise ValueError(answer.problem)
    facts = answer.facts or (Facts(),) * len(cases)
    _known.update({_key(case): known for case, known in zip(cases, facts, strict=True)})


def _key(case: Case) -> tuple[str, Case]:
    """The folder decides too: it is where the subject's module is looked for."""
    return os.getcwd(), case  # noqa: PTH109  as Python itself writes it into sys.path
