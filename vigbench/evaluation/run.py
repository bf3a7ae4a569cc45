"""An evaluation from a checkpoint to its tables; whatever is computed is kept, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from vigbench.evaluation.data import ImageFolder
from vigbench.evaluation.folder import EvaluationFolder
from vigbench.evaluation.loading import ReadingError, Transform, batches
from vigbench.evaluation.model import ModelError, build_for_evaluation, logits_of, out_of_memory, preprocessing
from vigbench.evaluation.prepare import Evaluation, EvaluationSettings, prepare_evaluation
from vigbench.interrupt import StopRequest
from vigbench.measure.accuracy import RANKS, Score, ranked_classes, score
from vigbench.measure.memory import is_out_of_memory
from vigbench.records.accuracy import Accuracy, AccuracyRow, Prediction, read_accuracy
from vigbench.suites.axes import PRECISION_ALIASES, Device, Precision
from vigbench.suites.case import Case
from vigbench.worker.describe import choose_device

WORKERS = {Device.cpu: 0, Device.cuda: 4}  # processes that read images, by default


class EvaluationProgress:
    """Told how an evaluation goes on; by itself it says nothing."""

    def evaluation_started(self, folder: Path, used: Sequence[str]) -> None:
        """The folder is there; `used` is what decides the numbers and was not necessarily asked for, in words."""

    def resolution_started(self, resolution: int, done: int, images: int) -> None:
        """That many images of a resolution are there already."""

    def images_done(self, done: int) -> None:
        """That many images are there now."""

    def resolution_ended(self, row: AccuracyRow) -> None:
        """A resolution is complete."""


def evaluate(
    subject: str,
    checkpoint: str | Path,
    data: str | Path,
    *,
    resolutions: Sequence[int] = (224,),
    implementation: str = "",
    device: str = "auto",
    precision: str = "float32",
    tf32: bool = False,
    threads: int = 0,
    crop_pct: float | None = None,
    interpolation: str | None = None,
    class_map: str | Path | None = None,
    ema: bool = True,
    batch_size: int = 64,
    workers: int | None = None,
    out: str | Path = "results",
    resume: str | Path | None = None,
    command_line: Sequence[str] = (),
    progress: EvaluationProgress | None = None,
    stop: StopRequest | None = None,
) -> Accuracy:
    """Top-1 and top-5 accuracy of a checkpoint on a folder of images, over resolutions, with timm's transforms.

    It computes in this process, whose threads, TF32 and seed it sets.

    Args:
        subject: a model's name, or `package.module:factory`.
        checkpoint: its weights: a PyTorch checkpoint of plain tensors, or .safetensors.
        data: folder with a folder of images for each class, as ImageNet's val.
        resolutions: sides of the images in px.
        implementation: of the subject's operator; empty: the one that users get by default.
        device: auto, cpu or cuda.
        precision: float32, bfloat16 or float16.
        tf32: allow TF32 for float32 matrix products on CUDA.
        threads: CPU threads; 0 = one per physical core.
        crop_pct: side of the crop over the shorter side of the resized image; None: the model's own.
        interpolation: of the resizing; None: the model's own.
        class_map: text file with a class name a line, in the order of the model's outputs.
        ema: prefer the moving average of the weights where the checkpoint has one.
        batch_size: images that the model is given at once.
        workers: processes that read images ahead; None: 4 on CUDA, else none.
        out: gets the folder `accuracy-<subject>-<device>-<time>`.
        resume: continue this folder instead, with otherwise the same settings; batch size and workers may differ.
        command_line: for the record, what was typed.
        progress: told how it goes on.
        stop: entered while it computes; a stop that is requested ends it after the current batch.

    Returns:
        What the folder holds; `finished` unless a stop was requested.

    Raises:
        ValueError: if anything is wrong; the message says what, and what to do. All batches before are kept.
    """
    name = PRECISION_ALIASES.get(precision, precision)
    if name not in Precision.__members__:
        raise ValueError(f"Precision {precision!r} is not allowed; choose from {', '.join(Precision)}.")
    if not resolutions:
        raise ValueError("Name at least one resolution, for example 224.")
    if batch_size < 1 or (workers or 0) < 0:
        raise ValueError(
            f"{batch_size} images at once and {workers} processes: the former starts at 1, the latter at 0."
        )
    settings = EvaluationSettings(
        subject=subject,
        resolutions=tuple(resolutions),
        implementation=implementation,
        device=choose_device(device),
        precision=Precision(name),
        tf32=tf32,
        threads=threads,
        crop_pct=crop_pct,
        interpolation=interpolation,
        ema=ema,
    )
    evaluation = prepare_evaluation(
        settings, Path(checkpoint), Path(data), None if class_map is None else Path(class_map)
    )
    folder = (
        EvaluationFolder.create(Path(out), evaluation.info)
        if resume is None
        else EvaluationFolder.reopen(Path(resume), evaluation.info)
    )
    progress = progress or EvaluationProgress()
    progress.evaluation_started(folder.folder, evaluation.what_is_used())
    with stop or nullcontext():
        compute_missing(
            evaluation,
            folder,
            progress,
            stop or StopRequest(),
            batch_size=batch_size,
            workers=WORKERS[settings.device] if workers is None else workers,
            command_line=command_line,
        )
    return read_accuracy(folder.folder)


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
