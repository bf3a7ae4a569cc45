"""The task of a network that segments volumes: one window of a scan, a step of training, or a whole scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.models.volumes.networks import MONAI, MONAI_OF_SCANS
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.image import ImageTask
from vigbench.subjects.pass_progress import PassProgress
from vigbench.subjects.task import DTYPES, SEED, Inputs, Result
from vigbench.suites.arguments import CHANNELS, args_of
from vigbench.suites.axes import Device, Gathering, MemoryFormat, Phase, Precision
from vigbench.suites.case import Case
from vigbench.suites.resolution import DIMENSIONS, Resolution, sides_of
from vigbench.suites.scan import read_scan

MODALITIES, CLASSES = 4, 3  # of BraTS: four images of a brain, three nested regions of a tumour
LARGEST_CHECKED = {Device.cpu: 64, Device.cuda: 128}  # sides at which materialised attention and gradients take seconds
NESTED = (1.0, 0.7, 0.45)  # half-axes of the regions, as shares of the largest


class VolumeTask(ImageTask):
    """Volumes (batch, 4 or `in_chans`, depth, height, width) of a resolution in voxels; 96 is 96x96x96.

    Training has labels, too: regions of random ellipsoids, one inside the other. A sliding window goes over a whole
    scan of the resolution, or over that of a file; the model is built for one window.
    """

    name = "volume"
    unit = "volume"
    dimensions = DIMENSIONS[unit]
    size_words = "depth x height x width"
    # of norms; GLIMS amplifies rounding, whose share of its output is 3e-6, 6e-3 and 6e-2
    tolerance: ClassVar[Mapping[str, float]] = {"float32": 1e-3, "bfloat16": 1e-1, "float16": 3e-2}
    gradient_tolerance: ClassVar[Mapping[str, float]] = {"float32": 1e-2, "bfloat16": 5e-1, "float16": 1e-1}
    output_measure = "norm"
    usual_resolution = 96
    other_sides = (64, 96)
    phases = (*ImageTask.phases, Phase.sliding_window)
    layouts: ClassVar[Mapping[MemoryFormat, torch.memory_format]] = {
        MemoryFormat.contiguous: torch.contiguous_format,
        MemoryFormat.channels_last: torch.channels_last_3d,
    }

    def require(self, case: Case) -> None:
        super().require(case)
        if case.roi is not None:
            try:
                sides_of(case.roi, self.dimensions)
            except ValueError as error:
                raise ValueError(f"{case.subject} takes windows, {self.size_words}: {error}.") from error

    def make_inputs(self, case: Case) -> Inputs:
        """A normal random volume with a fixed seed; labels in training; of a whole scan also its first window."""
        assert case.built_for is not None
        assert case.resolution is not None
        device = case.device.value
        generator = torch.Generator(device).manual_seed(SEED)
        channels = args_of(case.args).get(CHANNELS, MODALITIES)

        def normal(resolution: Resolution) -> Tensor:
            size = (case.batch_size, channels, *sides_of(resolution, self.dimensions))
            return torch.randn(size, generator=generator, device=device)

        def laid_out(volume: Tensor) -> Tensor:
            return volume.to(dtype=DTYPES[case.precision], memory_format=self.layouts[case.memory_format])

        if case.phase.trains and case.precision is Precision.float16:
            raise UnsupportedError(
                "The loss is a mean over voxels, whose gradients underflow in float16 without loss scaling: choose "
                "bfloat16 or float32."
            )
        window = laid_out(normal(case.built_for))
        if case.roi is not None:
            MONAI_OF_SCANS.require()
            scan = normal(case.resolution) if case.scan is None else _from_file(case, channels)
            return {"volume": window, "scan": scan.to(DTYPES[case.precision])}
        if case.phase.trains:
            classes = args_of(case.args).get("num_classes", CLASSES)
            return {"volume": window, "label": nested_ellipsoids(window, classes)}
        return {"volume": window}

    def arguments(self, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (inputs["volume"],), {}

    def iterate(self, model: Callable[..., Any], inputs: Inputs, case: Case) -> Any:
        """Of a sliding window all windows, by MONAI: pairs of padding, weights and order are its own."""
        if case.phase is not Phase.sliding_window:
            return super().iterate(model, inputs, case)
        from monai.inferers import sliding_window_inference

        assert case.roi is not None
        assert case.windows is not None
        assert case.window_batch is not None
        assert case.overlap is not None
        progress = PassProgress("windows", case.windows * case.batch_size)

        def predict(windows: Tensor) -> Tensor:
            progress.advance(len(windows))
            return model(windows.contiguous(memory_format=self.layouts[case.memory_format]))  # type: ignore[no-any-return]

        return sliding_window_inference(
            inputs["scan"],
            roi_size=sides_of(case.roi, self.dimensions),
            sw_batch_size=case.window_batch,
            predictor=predict,
            overlap=case.overlap,
            mode=str(case.weighting),
            device="cpu" if case.gather is Gathering.host else None,
        )

    def voxels(self, case: Case) -> int:
        assert case.resolution is not None
        return case.batch_size * prod(sides_of(case.resolution, self.dimensions))

    def loss(self, returned: Any, inputs: Inputs) -> Tensor:
        """Dice and cross entropy, in float32 or wider; of several logits with half the weight at each smaller size.

        As GLIMS was trained: weights 1, 1/2, 1/4, 1/8 over their sum, labels as the nearest voxel has them.

        Raises:
            UnsupportedError: without MONAI, whose loss it is.
        """
        logits = list(self.outputs(returned).values())
        criterion, label = dice_and_cross_entropy(), inputs["label"]
        weights = [0.5**number for number in range(len(logits))]
        total = torch.zeros((), device=label.device)
        for weight, found in zip(weights, logits, strict=True):
            wide = torch.promote_types(found.dtype, torch.float32)
            expected = F.interpolate(label.to(wide), found.shape[2:], mode="nearest")
            total = total + weight / sum(weights) * criterion(found.to(wide), expected)
        return total

    def leaves(self, inputs: Inputs) -> Inputs:
        """Of the inputs the model is trained through the volume alone."""
        return {**inputs, "volume": inputs["volume"].detach().requires_grad_()}

    def result(self, model: nn.Module, inputs: Inputs, trains: bool) -> Result:
        """With the outputs of the mode that is measured, whatever the model's mode is while it is checked."""
        with supervised(model, trains):
            return super().result(model, inputs, trains)

    def largest_checked(self, case: Case, operator: str) -> float:
        return LARGEST_CHECKED[case.device]


@contextmanager
def supervised(model: nn.Module, deep: bool) -> Iterator[None]:
    """A model that gives logits of several sizes in training gives them inside, or not."""
    if not hasattr(model, name := "deep_supervision"):
        yield
        return
    before = getattr(model, name)
    setattr(model, name, deep)
    try:
        yield
    finally:
        setattr(model, name, before)


@cache
def dice_and_cross_entropy() -> Callable[[Tensor, Tensor], Tensor]:
    """MONAI's loss as GLIMS was trained with: a sigmoid on each class for Dice, and cross entropy over the classes.

    UnsupportedError without MONAI.
    """
    MONAI.require()
    from monai.losses import DiceCELoss

    return DiceCELoss(sigmoid=True)  # type: ignore[no-any-return]


def nested_ellipsoids(volume: Tensor, classes: int) -> Tensor:
    """Labels (batch, classes, D, H, W) of a volume, 0 or 1 in its dtype: in each item ellipsoids with one centre.

    Centre and axes are random with a fixed seed; the classes lie one inside the other, as the regions of BraTS.
    """
    generator = torch.Generator().manual_seed(SEED)
    batch, sides, device = len(volume), volume.shape[2:], volume.device
    centre, half = torch.rand(2, batch, 3, generator=generator)
    centre, half = 0.3 + 0.4 * centre, 0.15 + 0.2 * half  # shares of the sides
    apart: Tensor = torch.zeros((), device=device)
    for axis, side in enumerate(sides):
        place = (torch.arange(side, device=device) + 0.5) / side
        from_centre = (place - centre[:, axis, None].to(device)) / half[:, axis, None].to(device)
        apart = apart + from_centre.square().view(batch, *(-1 if axis == other else 1 for other in range(3)))
    regions = [apart <= NESTED[min(number, len(NESTED) - 1)] ** 2 for number in range(classes)]
    return torch.stack(regions, 1).to(volume.dtype)


def _from_file(case: Case, channels: int) -> Tensor:
    """The scan of a case's file, one for each item; of a single channel the same for every one of the model's."""
    assert case.scan is not None
    values = torch.from_numpy(read_scan(case.scan))
    if len(values) not in (1, channels):
        raise ValueError(
            f"{case.scan} has {len(values)} channels, and {case.subject} takes {channels}: say so in a suite, "
            f"args: {{in_chans: {len(values)}}}, or give a scan of one channel, which serves for all."
        )
    return values.expand(channels, *values.shape[1:]).repeat(case.batch_size, 1, 1, 1, 1).to(case.device.value)
