"""The loop over a run's cases: one worker, one record at a time, each kept before the next starts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

from vigbench.models.family import family_of
from vigbench.records.schema import Metrics, Record, Status
from vigbench.records.store import RunStore
from vigbench.runner.budget import Budget
from vigbench.runner.executor import run_in_worker
from vigbench.runner.messages import Outcome
from vigbench.suites.case import Case
from vigbench.suites.duration import format_duration

PRUNING = {Status.out_of_memory: "ran out of memory", Status.timeout: "took too long"}


class Progress(Protocol):
    """Who wants to know how a run goes on."""

    def case_started(self, case: Case, number: int, total: int, remaining_s: float) -> None:
        """Case `number` of `total` starts; the run may take `remaining_s` more."""

    def stage(self, stage: str) -> None:
        """The running case has reached a stage."""

    def case_ended(self, record: Record) -> None:
        """A case has ended, and its record is on the disk."""


class Silent:
    """A progress that nobody sees."""

    def case_started(self, case: Case, number: int, total: int, remaining_s: float) -> None:
        """Nothing."""

    def stage(self, stage: str) -> None:
        """Nothing."""

    def case_ended(self, record: Record) -> None:
        """Nothing."""


def run_cases(
    store: RunStore, cases: Sequence[Case], *, budget: Budget, case_timeout_s: float, progress: Progress
) -> None:
    """Measure every case that the store does not hold yet, or holds as pruned.

    A case whose series ran out of memory or time at a smaller size is `pruned`, and so is one that the budget no
    longer allows; a smaller batch or resolution is never substituted.
    """
    store.drop_torn_line()
    # a pruned case was never tried: a resumed run, with more budget perhaps, tries it
    done = {record.case_id: record for record in store.records() if record.status is not Status.pruned}
    store.write_csv(store.records())
    for record in done.values():
        budget.learn(record)
    pending = [case for case in cases if case.case_id not in done]
    end = monotonic() + budget.total_s
    for index, case in enumerate(pending):
        later = pending[index + 1 :]
        remaining_s = sum(budget.expected_s(other) for other in pending[index:])
        progress.case_started(case, len(cases) - len(pending) + index + 1, len(cases), remaining_s)
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        begin = monotonic()
        reason = _reason_to_prune(case, list(done.values())) or _reason_to_stop(case, budget, end - begin)
        if reason:
            outcome = Outcome(status=Status.pruned, reason=reason)
        else:
            sampling_s = budget.sampling_s(case, later, end - begin)
            outcome = run_in_worker(case, budget_s=sampling_s, timeout_s=case_timeout_s, on_stage=progress.stage)
        record = _record(case, outcome, started_at, None if reason else monotonic() - begin)
        store.append(record, outcome.samples)
        done[case.case_id] = record
        budget.learn(record)
        progress.case_ended(record)


def _record(case: Case, outcome: Outcome, started_at: str, case_s: float | None) -> Record:
    return Record(
        case_id=case.case_id,
        case=case,
        family=family_of(case.subject),
        operator=outcome.operator,
        status=outcome.status,
        reason=outcome.reason,
        marks=outcome.marks,
        started_at=started_at,
        metrics=Metrics.model_validate({**outcome.metrics.model_dump(), "case_s": case_s}),
    )


def _reason_to_prune(case: Case, done: Sequence[Record]) -> str:
    """Why a case need not be tried: the same series failed for its size at no larger a size."""
    for record in done:
        smaller = record.case.resolution <= case.resolution and record.case.batch_size <= case.batch_size
        if record.status in PRUNING and record.case.series == case.series and smaller:
            size = f"{record.case.resolution} px at batch {record.case.batch_size}"
            return f"Not tried: {size} {PRUNING[record.status]} already."
    return ""


def _reason_to_stop(case: Case, budget: Budget, left_s: float) -> str:
    if budget.least_s(case) <= left_s:
        return ""
    return f"Not tried: the run's budget of {format_duration(budget.total_s)} is spent; continue with --resume."
