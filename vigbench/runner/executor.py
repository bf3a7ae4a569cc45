"""Measure one case in a fresh worker: whatever happens to that process, there is one outcome."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from vigbench.records.schema import Status
from vigbench.records.stages import FIRST, LAST, stage_columns
from vigbench.runner.process import Worker, WorkerEndedError
from vigbench.suites.duration import format_duration
from vigbench.worker.messages import Job, Outcome, StageReport


class StageClock:
    """Seconds by stage, by the clock of the coordinator: a worker cannot tell how long it took to start or to end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = FIRST, monotonic()

    def enter(self, stage: str) -> None:
        """The stage until now is over; `stage` begins."""
        now = monotonic()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now


def run_in_worker(job: Job, *, timeout_s: float, on_stage: Callable[[str], None], python: str | None = None) -> Outcome:
    """Do one job in a fresh process; the outcome's metrics have the seconds of each stage that it reached.

    Args:
        job: what to do.
        timeout_s: seconds after which the process, and all that it started, is killed.
        on_stage: told what the worker does.
        python: interpreter of another environment, whose vigbench shall do it; None: this one.
    """
    clock = StageClock()

    def enter(stage: str) -> None:
        clock.enter(stage)
        on_stage(stage)

    with Worker(job, python) as worker:
        outcome = _outcome_of(worker, timeout_s, enter)
        clock.enter(LAST)
        if outcome.status is not Status.timeout:
            worker.let_end()
    clock.enter("")
    metrics = outcome.metrics.model_copy(update=stage_columns(clock.seconds))
    return outcome.model_copy(update={"metrics": metrics})


def _outcome_of(worker: Worker, timeout_s: float, on_stage: Callable[[str], None]) -> Outcome:
    deadline = monotonic() + timeout_s
    try:
        while isinstance(message := worker.receive(deadline), StageReport):
            on_stage(message.stage)
    except TimeoutError:
        limit = format_duration(timeout_s)
        reason = f"Stopped after {limit}; raise --case-timeout, or leave this size out."
        return Outcome(status=Status.timeout, reason=reason)
    except WorkerEndedError as end:
        return Outcome(status=Status.crashed, reason=str(end))
    assert isinstance(message, Outcome)
    return message
