"""Measure one case in a fresh worker: whatever happens to that process, there is one outcome."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from vigbench.records.schema import Status
from vigbench.runner.messages import Job, Outcome, Stage
from vigbench.runner.process import Worker, WorkerEndedError
from vigbench.suites.duration import format_duration


def run_in_worker(job: Job, *, timeout_s: float, on_stage: Callable[[str], None], python: str | None = None) -> Outcome:
    """Do one job in a fresh process.

    Args:
        job: what to do.
        timeout_s: seconds after which the process, and all that it started, is killed.
        on_stage: told what the worker does.
        python: interpreter of another environment, whose vigbench shall do it; None: this one.
    """
    with Worker(job, python) as worker:
        deadline = monotonic() + timeout_s
        try:
            while True:
                message = worker.receive(deadline)
                if isinstance(message, Outcome):
                    worker.let_end()
                    return message
                assert isinstance(message, Stage)
                on_stage(message.stage)
        except TimeoutError:
            limit = format_duration(timeout_s)
            reason = f"Stopped after {limit}; raise --case-timeout, or leave this size out."
            return Outcome(status=Status.timeout, reason=reason)
        except WorkerEndedError as end:
            return Outcome(status=Status.crashed, reason=str(end))
