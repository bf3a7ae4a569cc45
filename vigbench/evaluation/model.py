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
        transform: from a PIL image to a tensor (channels, resolution, resolution) in float32.
        words: its steps, as they are written down.
        config: timm's `crop_pct`, `crop_mode`, `interpolation`, `mean` and `std`, and Pillow's `mode` of the image.
    """

    transform: Transform
    words: str
    config: Mapping[str, Any]


def preprocessing(
    model: nn.Module,
    resolution: int,
    crop_pct: float | None = None,
    interpolation: str | None = None,
    channels: int = 3,
) -> Preprocessing:
    """timm's transform for evaluation, by the model's `pretrained_cfg`; without one, by timm's defaults for ImageNet.

    Args:
        model: whose configuration is asked.
        resolution: side of the images in px.
        crop_pct: side of the crop over the shorter side of the resized image; None: the model's own.
        interpolation: of the resizing; None: the model's own.
        channels: 3, or 1 for greys, which get the means of the moments of three colours.
    """
    config = _resolve(model, args={"crop_pct": crop_pct, "interpolation": interpolation})
    config = {name: config[name] for name in ("crop_pct", "crop_mode", "interpolation", "mean", "std")}
    if channels == 1:
        config |= {name: (sum(config[name]) / len(config[name]),) for name in ("mean", "std")}
    transform = create_transform(input_size=(channels, resolution, resolution), is_training=False, **config)
    words = ", then ".join(" ".join(str(step).split()) for step in transform.transforms)
    named = {
        **config,
        "mean": list(config["mean"]),
        "std": list(config["std"]),
        "mode": "L" if channels == 1 else "RGB",
    }
    return Preprocessing(transform, words, named)


def crop_note(model: nn.Module, crop_pct: float) -> str:
    """That timm's own tables use another crop for this model, at another resolution; empty where they do not."""
    config = _configuration(model)
    listed, size = config.get("test_crop_pct"), config.get("test_input_size")
    if not listed or not size or listed == crop_pct:
        return ""
    return f"timm's own tables crop this model by {listed:g}, at {size[-1]} px; --crop-pct {listed:g} does so here."


def note_on_greys(used: Preprocessing) -> str:
    """That images are read without their colours; empty where they are not."""
    if used.config["mode"] == "RGB":
        return ""
    mean, std = (used.config[name][0] for name in ("mean", "std"))
    return f"the model takes one channel: images are read as greys (mean {mean:.3g}, standard deviation {std:.3g})"


class ModelError(ValueError):
    """A model of the user's failed in its forward pass; its cause says how."""


def build_for_evaluation(case: Case, checkpoint: Checkpoint) -> nn.Module:
    """The case's model with the checkpoint's weights, in its precision on its device, in eval mode.

    Raises:
        ValueError: if it cannot be built at this resolution, or the weights do not fit.
    """
    assert isinstance(case.resolution, int)
    try:
        model = build_subject(case.subject, case.implementation, case.resolution)
        load_checkpoint(model, checkpoint)
        return model.to(device=case.device.value, dtype=DTYPES[case.precision]).eval()
    except ValueError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise out_of_memory(case, 1) from error
        raise ValueError(
            f"{case.subject} cannot be built for {case.resolution} px: {in_one_line(error)}. Build it in Python to see "
            "where, then run this again."
        ) from error


@torch.inference_mode()
def logits_of(model: nn.Module, images: Tensor, case: Case) -> Tensor:
    """(batch, classes) on the case's device and in its precision, of images (batch, channels, height, width).

    Raises:
        ModelError: if the model raises anything but that memory is used up or that it is not supported.
        ValueError: if it returns no logits.
    """
    images = images.to(device=case.device.value, dtype=DTYPES[case.precision], non_blocking=True)
    try:
        output = model(images)
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error) or isinstance(error, (UnsupportedError, FactoryError)):
            raise
        raise ModelError(
            f"{case.subject} raised {in_one_line(error)} in its forward pass. Call it in Python to see where."
        ) from error
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(images):
        shape = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"type {type(output).__name__}"
        raise ValueError(
            f"{case.subject} returned an output of {shape}; it has to return logits (batch, classes). Name a "
            "classifier."
        )
    return output


def require_runnable(model: nn.Module, case: Case, data: ImageFolder, data_given: Path) -> int:
    """Try one black image, so that what cannot run ends before anything is computed.

    Returns:
        The channels of an image: 3, or 1 where the model takes no more, or is configured so.

    Raises:
        ValueError: if the model does not take this resolution, or has not one output for each class.
    """
    channels, outputs = _try(model, case)
    if outputs != len(data.classes):
        raise ValueError(
            f"{data_given} has {len(data.classes)} classes, but {case.subject} with this checkpoint tells {outputs} "
            "apart. Give --data the data set it was trained on; if that lacks some classes, also --class-map FILE, "
            "with a class name a line in the order of the model's outputs."
        )
    return channels


def _try(model: nn.Module, case: Case) -> tuple[int, int]:
    """Channels of an image that the model takes, and its outputs."""
    assert isinstance(case.resolution, int)
    failure: BaseException | None = None
    (declared, *_) = _configuration(model).get("input_size") or (3,)
    for channels in (1, 3) if declared == 1 else (3, 1):
        try:
            black = torch.zeros(1, channels, case.resolution, case.resolution)
            return channels, logits_of(model, black, case).shape[1]
        except ModelError as error:
            if isinstance(error.__cause__, SystemExit):
                raise
            failure = failure or error.__cause__
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(case, 1) from error
    assert failure is not None
    if (wanted := _channels_of_first_convolution(model)) not in (1, 3, None):
        raise ValueError(
            f"{case.subject} takes images of {wanted} channels, by its first convolution: images are read as colours "
            "(3) or greys (1). Name a model for these."
        ) from failure
    raise ValueError(
        f"{case.subject} does not take {case.resolution} px: {in_one_line(failure)}. Leave this resolution out."
    ) from failure


def _configuration(model: nn.Module) -> Mapping[str, Any]:
    config = getattr(model, "pretrained_cfg", None)
    return config if isinstance(config, Mapping) else {}


def _channels_of_first_convolution(model: nn.Module) -> int | None:
    """Of the one that the model's configuration names, else of the first of its modules; None where it has none."""
    modules = dict(model.named_modules())
    named = modules.get(str(_configuration(model).get("first_conv")))
    first = named or next((one for one in modules.values() if isinstance(one, nn.Conv2d)), None)
    return getattr(first, "in_channels", None)


def out_of_memory(case: Case, batch_size: int) -> ValueError:
    """What to say when a batch does not fit."""
    return ValueError(
        f"{case.device} memory was used up by {batch_size} image{'s' * (batch_size > 1)} of {case.resolution} px: "
        + ("choose a smaller --batch-size" if batch_size > 1 else "leave this resolution out")
        + "."
    )
