"""What is to be evaluated: settings, checkpoint, images and transforms, all tried before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vigbench.evaluation.checkpoint import Checkpoint, note_on_weights, read_checkpoint
from vigbench.evaluation.data import ImageFolder, read_image_folder
from vigbench.evaluation.model import build_for_evaluation, crop_note, note_on_greys, preprocessing, require_runnable
from vigbench.evaluation.progress import EvaluationProgress
from vigbench.measure.settings import apply_settings
from vigbench.subjects.catalog import IMAGES, require_supported, resolve_implementations, task_of
from vigbench.subjects.catalog import describe as describe_subject
from vigbench.subjects.own import require_buildable
from vigbench.subjects.task import DTYPES
from vigbench.suites.axes import Device, Precision
from vigbench.suites.case import Case

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

    Raises:
        ValueError: for a resolution, a crop or an interpolation that there is not.
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

    def __post_init__(self) -> None:
        for resolution in self.resolutions:
            if not isinstance(resolution, int) or resolution < 1:
                raise ValueError(f"{resolution!r} is no side of an image in px; write for example 224.")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise ValueError(f"--crop-pct {self.crop_pct:g} is not above 0 and at most 1; write for example 0.875.")
        if self.interpolation is not None and self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"--interpolation {self.interpolation!r} is unknown; choose from {', '.join(INTERPOLATIONS)}."
            )

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

    def what_is_used(self) -> list[str]:
        """What decides the numbers and was not necessarily asked for, in words."""
        first = self.info["transforms"][str(self.settings.resolutions[0])]
        lines = [
            f"at every resolution the crop's side is {first['crop_pct']:g} of the resized image's "
            f"({first['interpolation']}, {first['crop_mode']})"
        ]
        if weights := self.checkpoint.weights:
            lines.append(f"the weights are the checkpoint's {weights!r}")
        return [*lines, *self.info["notes"]]


def prepare_evaluation(
    settings: EvaluationSettings,
    checkpoint: Path,
    data: Path,
    class_map: Path | None = None,
    *,
    describe: Callable[[Case], Mapping[str, Any]],
    progress: EvaluationProgress,
) -> Evaluation:
    """Read checkpoint and folder, and try the model at each resolution, before anything is written.

    Args:
        settings: what is evaluated, and how.
        checkpoint: its file.
        data: folder of the images.
        class_map: file of the classes in the order of the model's outputs, if that is not the folder's.
        describe: what is to be noted of the machine.
        progress: told which resolution is tried.

    Raises:
        ValueError: if anything is wrong; the message says what, and what to do.
    """
    settings = _checked(settings)
    images = read_image_folder(data, class_map)
    weights = read_checkpoint(checkpoint, ema=settings.ema)
    apply_settings(threads=settings.threads, tf32=settings.tf32)
    transforms: dict[str, Any] = {}
    for resolution in settings.resolutions:
        progress.trying(resolution)
        model = build_for_evaluation(settings.case(resolution), weights)
        channels = require_runnable(model, settings.case(resolution), images, data)
        used = preprocessing(model, resolution, settings.crop_pct, settings.interpolation, channels)
        transforms[str(resolution)] = {**used.config, "steps": used.words}
    notes = [
        *images.notes,
        note_on_weights(model, weights),
        note_on_greys(used),
        crop_note(model, used.config["crop_pct"]) if settings.crop_pct is None else "",
    ]
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
        "notes": [note for note in notes if note],
        **describe(settings.case(settings.resolutions[0])),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Evaluation(settings, weights, images, info)


def _checked(settings: EvaluationSettings) -> EvaluationSettings:
    """The settings with the implementation resolved; ValueError for what is unknown or cannot run here."""
    task = task_of(settings.subject)
    task.require_axes(settings.subject, ("resolution",))
    if task.unit != IMAGES.unit:
        raise ValueError(f"{settings.subject} takes {task.unit}s: only classifiers of images have an accuracy.")
    require_buildable(settings.subject, settings.resolutions)
    requested = [settings.implementation] if settings.implementation else []
    (implementation,) = resolve_implementations(settings.subject, requested, settings.device)
    require_supported(
        describe_subject(settings.subject),
        implementation,
        settings.device,
        training=False,
        dtype=DTYPES[settings.precision],
    )
    return replace(settings, implementation=implementation, resolutions=tuple(sorted(set(settings.resolutions))))
