"""An evaluation from a checkpoint to its tables; whatever is computed is kept, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vigbench.evaluation.data import ImageFolder
from vigbench.evaluation.folder import EvaluationFolder
from vigbench.evaluation.loading import ReadingError, Transform, batches
from vigbench.evaluation.model import ModelError, build_for_evaluation, logits_of, out_of_memory, preprocessing
from vigbench.evaluation.prepare import Evaluation, EvaluationSettings, prepare_evaluation
from vigbench.evaluation.progress import EvaluationProgress
from vigbench.interrupt import StopRequest
from vigbench.measure.accuracy import RANKS, Score, ranked_classes, score
from vigbench.measure.memory import is_out_of_memory
from vigbench.records.accuracy import AccuracyRow, Prediction
from vigbench.suites.case import Case


@dataclass(frozen=True)
class EvaluationRequest:
    """What `vigbench.evaluate` was asked for, as a worker is told.

    Attributes:
        settings: all that decides a prediction, beside the following files.
        out: gets a new folder, unless `resume` names the one to continue.
        batch_size: images that the model is given at once.
        workers: processes that read images ahead; 0: none.
        command_line: what was typed.
    """

    settings: EvaluationSettings
    checkpoint: Path
    data: Path
    class_map: Path | None
    out: Path
    resume: Path | None
    batch_size: int
    workers: int
    command_line: tuple[str, ...]


def evaluate_here(
    request: EvaluationRequest,
    describe: Callable[[Case], Mapping[str, Any]],
    progress: EvaluationProgress,
    stop: StopRequest,
) -> None:
    """Do what is asked for in this process, whose threads, TF32 and seed it sets, until it is done or to be stopped.

    Args:
        request: what.
        describe: what is to be noted of the machine.
        progress: told how it goes on.
        stop: ends it after the current batch once a stop is requested.

    Raises:
        ValueError: if anything is wrong; the message says what, and what to do. All batches before are kept.
    """
    evaluation = prepare_evaluation(
        request.settings, request.checkpoint, request.data, request.class_map, describe=describe, progress=progress
    )
    folder = (
        EvaluationFolder.create(request.out, evaluation.info)
        if request.resume is None
        else EvaluationFolder.reopen(request.resume, evaluation.info)
    )
    progress.evaluation_started(folder.folder, evaluation.what_is_used())
    compute_missing(
        evaluation,
        folder,
        progress,
        stop,
        batch_size=request.batch_size,
        workers=request.workers,
        command_line=request.command_line,
    )


def compute_missing(
    evaluation: Evaluation,
    folder: EvaluationFolder,
    progress: EvaluationProgress,
    stop: StopRequest,
    *,
    batch_size: int,
    workers: int,
    command_line: Sequence[str],
) -> list[AccuracyRow] | None:
    """Compute what the folder lacks; None if it was stopped before everything was there.

    Args:
        evaluation: what to compute.
        folder: where it goes.
        progress: told how it goes on.
        stop: ends it after the current batch once a stop is requested.
        batch_size: images that the model is given at once.
        workers: processes that read images ahead; 0: none.
        command_line: that started this.

    Raises:
        ValueError: if an image cannot be read, a batch does not fit into memory, or the folder cannot be written. All
            batches before are kept.
    """
    images = evaluation.data.images
    rows = []
    with folder.session(batch_size=batch_size, workers=workers, command_line=list(command_line)):
        for resolution in evaluation.settings.resolutions:
            predictions = folder.take_up(resolution, images, evaluation.data.labels, batch_size)
            progress.resolution_started(resolution, len(predictions), len(images))
            if len(predictions) < len(images) and not stop.requested:
                case = evaluation.settings.case(resolution, batch_size)
                _extend(predictions, evaluation, case, folder, progress, stop, workers)
            if len(predictions) < len(images):
                return None
            rows.append(_row(resolution, score((one.label, one.ranks) for one in predictions), evaluation.data))
            folder.write_table(rows)
            progress.resolution_ended(rows[-1])
        folder.finish()
    return rows


def _extend(
    predictions: list[Prediction],
    evaluation: Evaluation,
    case: Case,
    folder: EvaluationFolder,
    progress: EvaluationProgress,
    stop: StopRequest,
    workers: int,
) -> None:
    """Append the missing predictions at the case's resolution, until all are there or a stop is requested."""
    assert isinstance(case.resolution, int)
    data, again = evaluation.data, f"What was computed is kept; continue with --resume {folder.folder}."
    model = build_for_evaluation(case, evaluation.checkpoint)
    mode = evaluation.info["transforms"][str(case.resolution)]["mode"]
    transform: Transform = preprocessing(
        model,
        case.resolution,
        evaluation.settings.crop_pct,
        evaluation.settings.interpolation,
        1 if mode == "L" else 3,
    ).transform
    missing, pinned = data.images[len(predictions) :], case.device == "cuda"
    try:
        for pixels in batches(data.root, missing, transform, case.batch_size, workers, pinned=pinned, mode=mode):
            ranks = ranked_classes(logits_of(model, pixels, case))
            begin = len(predictions)
            new = [
                Prediction(data.images[begin + index], data.labels[begin + index], image_ranks)
                for index, image_ranks in enumerate(ranks)
            ]
            folder.keep(case.resolution, new)
            predictions += new
            progress.images_done(len(predictions))
            if stop.requested:
                return
    except (ModelError, ReadingError) as error:
        raise ValueError(f"{error} {again}") from error
    except Exception as error:
        if is_out_of_memory(error):
            raise ValueError(f"{out_of_memory(case, case.batch_size)} {again}") from error
        raise


def _row(resolution: int, found: Score, data: ImageFolder) -> AccuracyRow:
    top1, top5 = found.top1, found.top5 if len(data.classes) > RANKS else None
    return AccuracyRow(
        resolution=resolution,
        images=found.images,
        top1_percent=100 * top1.share,
        top1_low_percent=100 * top1.low,
        top1_high_percent=100 * top1.high,
        top5_percent=None if top5 is None else 100 * top5.share,
        top5_low_percent=None if top5 is None else 100 * top5.low,
        top5_high_percent=None if top5 is None else 100 * top5.high,
        not_finite_images=found.not_finite,
    )
