"""An evaluation from its settings to its tables; whatever is computed is kept, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from vigbench.evaluation.checkpoint import Checkpoint, read_checkpoint
from vigbench.evaluation.data import ImageFolder, read_image_folder
from vigbench.evaluation.folder import EvaluationFolder
from vigbench.evaluation.loading import ReadingError, Transform, batches
from vigbench.evaluation.model import (
    Preprocessing,
    build_for_evaluation,
    crop_note,
    logits_of,
    out_of_memory,
    preprocessing,
    require_runnable,
)
from vigbench.interrupt import StopRequest
from vigbench.measure.accuracy import RANKS, Score, ranked_classes, score
from vigbench.measure.memory import is_out_of_memory
from vigbench.measure.settings import apply_settings
from vigbench.records.accuracy import AccuracyRow, Prediction
from vigbench.subjects.catalog import describe, require_supported, resolve_implementations, task_of
from vigbench.subjects.own import require_buildable
from vigbench.subjects.task import DTYPES
from vigbench.suites.case import Case, Device, Precision
from vigbench.worker.describe import describe_here

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


@dataclass(frozen=True)
class EvaluationSettings:
    """All that decides a prediction, beside checkpoint and images.

    Attributes:
        resolutions: sides of the images in px.
        implementation: of the subject's operator; empty: the one that users get by default.
        threads: CPU threads; 0 = one per physical core.
        crop_pct: side of the crop over the shorter side of the resized image; None: the model's own.
        interpolation: of the resizing; None: the model's own.
        ema: prefer the moving average of the weights where the checkpoint has one.
    """

    subject: str
    resolutions: tuple[int, ...]
    implementation: str = ""
    device: Device = Device.cpu
    precision: Precision = Precision.float32
    tf32: bool = False
    threads: int = 0
    crop_pct: float | None = None
    interpolation: str | None = None
    ema: bool = True

    def case(self, resolution: int, batch_size: int = 1) -> Case:
        """The same at one resolution, as a case of a suite."""
        return Case(
            subject=self.subject,
            implementation=self.implementation,
            resolution=resolution,
            batch_size=batch_size,
            precision=self.precision,
            device=self.device,
            tf32=self.tf32,
            threads=self.threads,
        )


class EvaluationProgress(Protocol):
    """Told how it goes on."""

    def resolution_started(self, resolution: int, done: int, images: int) -> None:
        """That many images of a resolution are there already."""

    def images_done(self, done: int) -> None:
        """That many images are there now."""

    def resolution_ended(self, row: AccuracyRow) -> None:
        """A resolution is complete."""


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated; it was tried with one image at each resolution.

    Attributes:
        info: what `accuracy.json` says of it.
    """

    settings: EvaluationSettings
    checkpoint: Checkpoint
    data: ImageFolder
    info: dict[str, Any] = field(repr=False)


def prepare_evaluation(
    settings: EvaluationSettings, checkpoint: Path, data: Path, class_map: Path | None = None
) -> Evaluation:
    """Read checkpoint and folder, and try the model at each resolution, before anything is written.

    Raises:
        ValueError: if anything is wrong; the message says what, and what to do.
    """
    settings = _checked(settings)
    images = read_image_folder(data, class_map)
    weights = read_checkpoint(checkpoint, ema=settings.ema)
    apply_settings(threads=settings.threads, tf32=settings.tf32)
    transforms: dict[str, Any] = {}
    for resolution in settings.resolutions:
        model = build_for_evaluation(settings.case(resolution), weights)
        require_runnable(model, settings.case(resolution), images, data)
        used = _preprocessing(model, resolution, settings)
        transforms[str(resolution)] = {**used.config, "steps": used.words}
    note = crop_note(model, used.config["crop_pct"]) if settings.crop_pct is None else ""
    info = {
        "settings": {**asdict(settings), "resolutions": list(settings.resolutions)},
        "checkpoint": {"file": weights.file, "sha256": weights.sha256, "weights": weights.weights},
        "data": {
            "folder": data.resolve().name,
            "images": len(images.images),
            "classes": len(images.classes),
            "paths_sha256": images.paths_sha256,
            "classes_sha256": images.classes_sha256,
        },
        "transforms": transforms,
        "notes": [one for one in (*images.notes, note) if one],
        **describe_here(settings.case(settings.resolutions[0])),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Evaluation(settings, weights, images, info)


def _checked(settings: EvaluationSettings) -> EvaluationSettings:
    """The settings with the implementation resolved; ValueError for what is unknown or cannot run here."""
    task_of(settings.subject).require_axes(settings.subject, ("resolution",))
    require_buildable(settings.subject, settings.resolutions)
    if settings.crop_pct is not None and not 0 < settings.crop_pct <= 1:
        raise ValueError(f"--crop-pct {settings.crop_pct:g} is not above 0 and at most 1; write for example 0.875.")
    if settings.interpolation is not None and settings.interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"--interpolation {settings.interpolation!r} is unknown; choose from {', '.join(INTERPOLATIONS)}."
        )
    requested = [settings.implementation] if settings.implementation else []
    (implementation,) = resolve_implementations(settings.subject, requested, settings.device)
    require_supported(
        describe(settings.subject), implementation, settings.device, training=False, dtype=DTYPES[settings.precision]
    )
    return replace(settings, implementation=implementation, resolutions=tuple(sorted(set(settings.resolutions))))


def _preprocessing(model: nn.Module, resolution: int, settings: EvaluationSettings) -> Preprocessing:
    return preprocessing(model, resolution, settings.crop_pct, settings.interpolation)


def evaluate(
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
    transform: Transform = _preprocessing(model, case.resolution, evaluation.settings).transform
    missing = data.images[len(predictions) :]
    try:
        for pixels in batches(data.root, missing, transform, case.batch_size, workers, pinned=case.device == "cuda"):
            ranks = ranked_classes(logits_of(model, pixels, case))
            begin = len(predictions)
            new = [
                Prediction(data.images[begin + index], data.labels[begin + index], one)
                for index, one in enumerate(ranks)
            ]
            folder.keep(case.resolution, new)
            predictions += new
            progress.images_done(len(predictions))
            if stop.requested:
                return
    except ReadingError as error:
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
