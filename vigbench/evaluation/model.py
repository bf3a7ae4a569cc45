"""The model and the transform of an evaluation at one resolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform
from torch import Tensor, nn

from vigbench.evaluation.checkpoint import Checkpoint, load_checkpoint
from vigbench.evaluation.data import ImageFolder
from vigbench.evaluation.loading import Transform
from vigbench.measure.memory import is_out_of_memory
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.catalog import build_subject
from vigbench.subjects.factory import FactoryError, in_one_line
from vigbench.subjects.task import DTYPES
from vigbench.suites.case import Case

_resolve: Callable[..., dict[str, Any]] = resolve_model_data_config  # which timm leaves untyped


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of an image.

    Attributes:
        transform: from a PIL image to a tensor (3, resolution, resolution) in float32.
        words: its steps, as they are written down.
        config: timm's `crop_pct`, `crop_mode`, `interpolation`, `mean` and `std`.
    """

    transform: Transform
    words: str
    config: Mapping[str, Any]


def preprocessing(
    model: nn.Module, resolution: int, crop_pct: float | None = None, interpolation: str | None = None
) -> Preprocessing:
    """timm's transform for evaluation, by the model's `pretrained_cfg`; without one, by timm's defaults for ImageNet.

    Args:
        model: whose configuration is asked.
        resolution: side of the images in px.
        crop_pct: side of the crop over the shorter side of the resized image; None: the model's own.
        interpolation: of the resizing; None: the model's own.
    """
    config = _resolve(model, args={"crop_pct": crop_pct, "interpolation": interpolation})
    config = {name: config[name] for name in ("crop_pct", "crop_mode", "interpolation", "mean", "std")}
    transform = create_transform(input_size=(3, resolution, resolution), is_training=False, **config)
    words = ", then ".join(" ".join(str(step).split()) for step in transform.transforms)
    return Preprocessing(transform, words, {**config, "mean": list(config["mean"]), "std": list(config["std"])})


def crop_note(model: nn.Module, crop_pct: float) -> str:
    """That timm's own tables use another crop for this model, at another resolution; empty where they do not."""
    config = getattr(model, "pretrained_cfg", None) or {}
    listed, size = config.get("test_crop_pct"), config.get("test_input_size")
    if not listed or not size or listed == crop_pct:
        return ""
    return f"timm's own tables crop this model by {listed:g}, at {size[-1]} px; --crop-pct {listed:g} does so here."


def build_for_evaluation(case: Case, checkpoint: Checkpoint) -> nn.Module:
    """The case's model with the checkpoint's weights, in its precision on its device, in eval mode.

    Raises:
        ValueError: if it cannot be built at this resolution, or the weights do not fit.
    """
    assert isinstance(case.resolution, int)
    model = build_subject(case.subject, case.implementation, case.resolution)
    load_checkpoint(model, checkpoint)
    return model.to(device=case.device.value, dtype=DTYPES[case.precision]).eval()


@torch.inference_mode()
def logits_of(model: nn.Module, images: Tensor, case: Case) -> Tensor:
    """(batch, classes) on the case's device and in its precision, of images (batch, 3, height, width)."""
    output = model(images.to(device=case.device.value, dtype=DTYPES[case.precision], non_blocking=True))
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(images):
        shape = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"type {type(output).__name__}"
        raise ValueError(
            f"{case.subject} returned an output of {shape}; it has to return logits (batch, classes). Name a "
            "classifier."
        )
    return output


def require_runnable(model: nn.Module, case: Case, data: ImageFolder, data_given: Path) -> None:
    """Try one black image, so that what cannot run ends before anything is computed.

    Raises:
        ValueError: if the model does not take this resolution, or has not one output for each class.
    """
    assert isinstance(case.resolution, int)
    try:
        outputs = logits_of(model, torch.zeros(1, 3, case.resolution, case.resolution), case).shape[1]
    except (UnsupportedError, FactoryError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory(case, 1) from error
        if isinstance(error, ValueError) and str(error).startswith(case.subject):
            raise
        raise ValueError(
            f"{case.subject} does not take {case.resolution} px: {in_one_line(error)}. Leave this resolution out."
        ) from error
    if outputs != len(data.classes):
        raise ValueError(
            f"{data_given} has {len(data.classes)} classes, but {case.subject} with this checkpoint tells {outputs} "
            "apart. Give --data the data set it was trained on; if that lacks some classes, also --class-map FILE, "
            "with a class name a line in the order of the model's outputs."
        )


def out_of_memory(case: Case, batch_size: int) -> ValueError:
    """What to say when a batch does not fit."""
    return ValueError(
        f"{case.device} memory was used up by {batch_size} image{'s' * (batch_size > 1)} of {case.resolution} px: "
        + ("choose a smaller --batch-size" if batch_size > 1 else "leave this resolution out")
        + "."
    )
