"""The loop over a run's cases: fresh workers, one record at a time, each kept before the next starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol

from vigbench.analysis.disturbance import CONTENDED
from vigbench.interrupt import StopRequest
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, Status
from vigbench.records.stages import seconds_of, stage_columns
from vigbench.records.store import RunStore
from vigbench.runner.achieved import achieved_columns
from vigbench.runner.budget import Budget
from vigbench.runner.fork_server import waiting_of
from vigbench.runner.process import run_in_worker
from vigbench.runner.repeat import Measured, combined, failed
from vigbench.subjects.family import family_of
from vigbench.subjects.own import is_own
from vigbench.suites.case import Case
from vigbench.suites.duration import format_duration
from vigbench.suites.planner import Plan
from vigbench.worker.messages import Job, Outcome
from vigbench.worker.survey import Facts

PRUNING = {Status.out_of_memory: "ran out of memory", Status.timeout: "took too long"}
LargestBatch = Callable[[Case, Callable[[str], None]], int]


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


@dataclass(frozen=True)
class _Attempt:
    """One attempt at a case: what it came to, the seconds that it could sample, and those that it took in all."""

    number: int  # of the case in its run
    record: Record
    measured: Measured
    sampling_s: float
    seconds: float


@dataclass(frozen=True)
class Coordinator:
    """Measures the cases of a plan into a store.

    Attributes:
        stop: asked between two cases whether the user wants to stop.
        facts_of: what is known of a case before it is measured.
        largest_batch: finds the largest batch of a case, telling what it tries; None: not asked for.
        ceilings: what the device reaches at best, by precision, see `runner.machine`; for operators.
        references: folder in which workers keep what references computed; None: nowhere.
    """

    store: RunStore
    planned: Plan
    budget: Budget
    progress: Progress
    stop: StopRequest
    facts_of: Callable[[Case], Facts]
    largest_batch: LargestBatch | None = None
    ceilings: Mapping[str, Any] = field(default_factory=dict)
    references: str | None = None

    def run(self) -> None:
        """Measure every case that the store does not hold yet, or holds as pruned, or as stopped after less time.

        A case whose series ran out of memory or time at a smaller size is `pruned`, and so is one that the budget no
        longer allows; a smaller batch or resolution is never substituted. Stops early at a `StopRequest`.
        """
        done = {record.case_id: record for record in self.store.records() if not self._is_to_retry(record)}
        for record in done.values():
            self.budget.learn(record)
        cases = self.planned.cases
        pending = [case for case in cases if case.case_id not in done]
        pending_s = sum(self.budget.expected_s(case) for case in pending)
        lacking = [record for record in done.values() if self._lacks_largest_batch(record)]
        for number, record in enumerate(lacking, 1):
            if self.stop.requested:
                return
            self.progress.case_started(record.case, number, len(cases), pending_s)
            done[record.case_id] = self._with_largest_batch(record)
        end = monotonic() + self.budget.total_s
        disturbed: dict[Case, _Attempt] = {}
        set_aside: set[Case] = set()
        while pending:
            if self.stop.requested:
                return
            remaining_s = sum(self.budget.expected_s(other) for other in pending)
            case = self.budget.next_of(pending, end - monotonic(), set_aside, self.planned.case_timeout_s)
            number = len(cases) - len(pending) + 1
            self.progress.case_started(case, number, len(cases), remaining_s)
            pending.remove(case)
            attempt = self._attempt(case, number, pending, list(done.values()), end, last=case in set_aside)
            if attempt is None:  # it took more than its share: once more when the others have had theirs
                set_aside.add(case)
                pending.append(case)
                continue
            record = attempt.record
            begin = monotonic()
            if self._lacks_largest_batch(record):
                record = self._with_largest_batch(record)
            end += monotonic() - begin  # the budget is for measuring
            done[case.case_id] = record
            self.budget.learn(record)
            self.progress.case_ended(record)
            if CONTENDED in record.marks:
                disturbed[case] = replace(attempt, record=record)
        self._repeat(disturbed, end)

    def _repeat(self, disturbed: Mapping[Case, _Attempt], end: float) -> None:
        """Measure once more what other processes disturbed, quick cases first, from what is left of the budget."""
        for case, attempt in sorted(disturbed.items(), key=lambda entry: entry[1].seconds):
            if self.stop.requested or (left_s := end - monotonic()) < attempt.seconds:
                return
            self.progress.case_started(case, attempt.number, len(self.planned.cases), left_s)
            self.progress.stage("again, since other processes disturbed it")
            self._measure_again(case, attempt)

    def _is_to_retry(self, record: Record) -> bool:
        """Whether a resumed run measures it again: never tried, or stopped by a shorter limit than today's."""
        limit_s = record.metrics.timeout_s or 0.0
        return record.status is Status.pruned or (
            record.status is Status.timeout and limit_s < self.planned.case_timeout_s
        )

    def _attempt(
        self, case: Case, number: int, later: Sequence[Case], done: Sequence[Record], end: float, *, last: bool
    ) -> _Attempt | None:
        """Measure a case, or say why not, and keep its record; None if it was stopped at its share of the budget.

        Args:
            case: what to measure.
            number: of the case in its run.
            later: what is to come.
            done: records that there are.
            end: of the budget, on the clock of `time.monotonic`.
            last: whether it may take all time that is left.
        """
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        begin = monotonic()
        reason = _reason_to_prune(case, done) or self._reason_to_stop(case, end - begin)
        if reason:
            measured = Measured.failed(Status.pruned, reason)
            record = _record(case, self.facts_of(case).unit, measured, started_at, {})
            self.store.append(record, ())
            return _Attempt(number, record, measured, 0.0, 0.0)
        sampling_s = self.budget.sampling_s(case, later, end - begin)
        limit_s = self.planned.case_timeout_s
        if not last:
            limit_s = min(limit_s, self.budget.most_s(case, later, end - begin))
        measured = self._measure(case, sampling_s, limit_s)
        if measured.status is Status.timeout and limit_s < self.planned.case_timeout_s:
            return None
        seconds = monotonic() - begin
        record = self._kept(case, measured, started_at, seconds, [measured])
        return _Attempt(number, record, measured, sampling_s, seconds)

    def _measure_again(self, case: Case, first: _Attempt) -> None:
        """A second attempt; of both the one that was disturbed less becomes the record, and both have their samples."""
        begin = monotonic()
        second = self._measure(case, first.sampling_s, self.planned.case_timeout_s)
        attempts = {1: first.measured, 2: second}
        kept = min(attempts, key=lambda number: attempts[number].disturbance())
        seconds = first.seconds + monotonic() - begin
        largest = first.record.metrics.largest_batch
        record = self._kept(case, attempts[kept], first.record.started_at, seconds, list(attempts.values()), largest)
        other = attempts[3 - kept]
        self.store.discard(case.case_id, other.samples, 3 - kept)
        self.progress.case_ended(record)

    def _kept(
        self,
        case: Case,
        measured: Measured,
        started_at: str,
        seconds: float,
        attempts: Sequence[Measured],
        largest_batch: int | None = None,
    ) -> Record:
        """The record of an attempt, with the seconds of all, on the disk."""
        spent = seconds_of(attempt.metrics for attempt in attempts)
        references = [one.metrics.reference_s for one in attempts if one.metrics.reference_s is not None]
        extra: dict[str, float | int | None] = {
            "attempts": len(attempts),
            "case_s": seconds,
            **stage_columns(spent, seconds),
            "reference_s": sum(references) if references else None,
            "timeout_s": self.planned.case_timeout_s,
            "largest_batch": largest_batch,
            **achieved_columns(case, measured.metrics, self.ceilings, self.facts_of(case).bytes_moved),
        }
        record = _record(case, self.facts_of(case).unit, measured, started_at, extra)
        self.store.append(record, measured.samples, measured.operators, measured.kernels)
        return record

    def _lacks_largest_batch(self, record: Record) -> bool:
        asked = self.largest_batch is not None and record.case.ranks == 1
        return asked and record.status is Status.ok and record.metrics.largest_batch is None

    def _with_largest_batch(self, record: Record) -> Record:
        """The record with the largest batch that fits, on the disk."""
        assert self.largest_batch is not None
        largest = self.largest_batch(record.case, self.progress.stage)
        metrics = record.metrics.model_copy(update={"largest_batch": largest})
        record = record.model_copy(update={"metrics": metrics})
        self.store.amend(record)
        return record

    def _measure(self, case: Case, sampling_s: float, limit_s: float) -> Measured:
        return measure_in_processes(
            case,
            replace(self.planned, case_timeout_s=limit_s),
            sampling_s=sampling_s,
            on_stage=self.progress.stage,
            references=self.references,
        )

    def _reason_to_stop(self, case: Case, left_s: float) -> str:
        least_s, limit_s = self.budget.least_s(case), self.planned.case_timeout_s
        if self.budget.knows(case) and least_s / self.planned.processes > limit_s:
            return (
                f"Not tried: judged by its smaller sizes it takes at least {format_duration(least_s)}, and "
                f"--case-timeout is {format_duration(limit_s)}."
            )
        if least_s <= left_s:
            return ""
        budget = format_duration(self.budget.total_s)
        return f"Not tried: the run's budget of {budget} is spent; continue with --resume."


def _record(case: Case, unit: str, measured: Measured, started_at: str, extra: dict[str, float | int | None]) -> Record:
    return Record(
        case_id=case.case_id,
        case=case,
        family="other" if is_own(case.subject) else family_of(case.subject),
        operator=measured.operator,
        unit=unit,
        status=measured.status,
        reason=measured.reason,
        marks=measured.marks,
        started_at=started_at,
        metrics=Metrics.model_validate({**measured.metrics.model_dump(), **extra}),
    )


def _reason_to_prune(case: Case, done: Sequence[Record]) -> str:
    """Why a case need not be tried: the same series failed for its size at no larger a size."""
    for record in done:
        smaller = record.case.extent <= case.extent and record.case.batch_size <= case.batch_size
        if record.status in PRUNING and record.case.series == case.series and smaller:
            size = f"{record.case.extent_text} at batch {record.case.batch_size}"
            return f"Not tried: {size} {PRUNING[record.status]} already."
    return ""


def measure_in_processes(
    case: Case, planned: Plan, *, sampling_s: float, on_stage: Callable[[str], None], references: str | None = None
) -> Measured:
    """Measure a case as often as the plan says, each time in a fresh process; the first failure is the result.

    Args:
        case: what to measure.
        planned: processes, calibration and timeout.
        sampling_s: seconds of warm-up and sampling in each process.
        on_stage: told what happens now.
        references: folder in which the run keeps what references computed; None: nowhere.
    """
    job = Job(case=case, budget_s=sampling_s, calibrate=planned.calibrate, references=references)
    outcomes: list[Outcome] = []
    waiting = waiting_of(case)
    for number in range(1, planned.processes + 1):
        where = f" ({number}/{planned.processes})" if planned.processes > 1 else ""

        def tell(stage: str, where: str = where) -> None:
            on_stage(stage + where)

        outcome = run_in_worker(job, timeout_s=planned.case_timeout_s, on_stage=tell, waiting=waiting)
        outcomes.append(outcome)
        if outcome.status is not Status.ok:
            return failed(outcomes, f"{outcome.reason} (process {number} of {planned.processes})" if where else "")
    return combined(outcomes, case)
