"""What a plan knows of its cases. The user's own code is asked in a worker, with its limits and its pipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from vigbench.records.schema import Status
from vigbench.runner.process import run_in_worker
from vigbench.subjects.catalog import task_of
from vigbench.subjects.own import is_own
from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.worker.messages import Errand, Job
from vigbench.worker.survey import Facts, Survey, require_measurable

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
    """What is known of a case of the user's own subject; nothing is, if that could not be asked."""
    if _key(case) not in _known:
        _ask_worker(case.subject, [case], MOST_S)
    return _known[_key(case)]


def unit_of(case: Case) -> str:
    """What one item of a batch is."""
    return facts_of(case).unit if is_own(case.subject) else task_of(case.subject).unit


def bytes_moved(case: Case) -> tuple[int, int] | None:
    """Bytes of inputs and outputs that a call has to move; None where the subject's task does not say."""
    return facts_of(case).bytes_moved if is_own(case.subject) else task_of(case.subject).bytes_moved(case)


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
