"""An evaluation inside the worker: it tells the coordinator how it goes on, and listens whether to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from vigbench.evaluation.progress import EvaluationProgress
from vigbench.evaluation.run import EvaluationRequest, evaluate_here
from vigbench.interrupt import StopRequest
from vigbench.records.accuracy import AccuracyRow
from vigbench.records.schema import Status
from vigbench.worker.describe import describe_here
from vigbench.worker.messages import BlockRequest, EvaluationReport, Message, Outcome

REQUEST = TypeAdapter(EvaluationRequest)


class _Told(EvaluationProgress):
    """Each event as a message."""

    def __init__(self, say: Callable[[Message], None]) -> None:
        self.say = say

    def trying(self, resolution: int) -> None:
        self.say(EvaluationReport(event="trying", told=(resolution,)))

    def evaluation_started(self, folder: Path, used: Sequence[str]) -> None:
        self.say(EvaluationReport(event="evaluation_started", told=(str(folder), list(used))))

    def resolution_started(self, resolution: int, done: int, images: int) -> None:
        self.say(EvaluationReport(event="resolution_started", told=(resolution, done, images)))

    def images_done(self, done: int) -> None:
        self.say(EvaluationReport(event="images_done", told=(done,)))

    def resolution_ended(self, row: AccuracyRow) -> None:
        self.say(EvaluationReport(event="resolution_ended", told=(asdict(row),)))


def tell(progress: EvaluationProgress, report: EvaluationReport) -> None:
    """What a worker reported, to whom it was meant for."""
    match report.event, report.told:
        case "evaluation_started", (folder, used):
            progress.evaluation_started(Path(folder), used)
        case "resolution_ended", (row,):
            progress.resolution_ended(AccuracyRow(**row))
        case event, told:
            getattr(progress, event)(*told)


def evaluate_for(argument: str, say: Callable[[Message], None], commands: Callable[[], BlockRequest]) -> Outcome:
    """Do what an `EvaluationRequest` in JSON asks for; any command ends it after the current batch.

    Returns:
        `ok` whether or not everything is there, which the folder says; `error` with a complete message as its reason.
    """
    stop = StopRequest()

    def listen() -> None:
        commands()
        stop.requested = True

    threading.Thread(target=listen, daemon=True).start()
    try:
        evaluate_here(REQUEST.validate_json(argument), describe_here, _Told(say), stop)
    except ValueError as error:
        return Outcome(status=Status.error, reason=str(error))
    return Outcome(status=Status.ok)
