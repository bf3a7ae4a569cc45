"""The task of a model that takes images: classifiers and other backbones."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import nn

from vigbench.nearest import one_of
from vigbench.ops.registry import get_operator
from vigbench.subjects.implementations import takes_any_size
from vigbench.subjects.operators import OPERATORS
from vigbench.subjects.sharding import Sharding, sharding_of_images
from vigbench.subjects.task import DTYPES, MEMORY_FORMATS, SEED, Inputs, Probe, Task
from vigbench.suites.arguments import channels_of
from vigbench.suites.case import Case
from vigbench.suites.resolution import Resolution, mean_side, read_resolution, sides_of

STEP_PX = 32  # sides of a smaller image of other proportions are multiples of it, which patches divide


class ImageTask(Task):
    """Images (batch, 3 or `in_chans`, height, width); what comes back is compared tensor by tensor."""

    name = "image"
    unit = "image"

    def require_axes(self, subject: str, given: Collection[str]) -> None:
        if set(given) != set(self.axes):
            raise ValueError(
                f"{subject} is a model: give it --resolution. Length and shape belong to the operators "
                f"{one_of(OPERATORS)}."
            )

    def make_inputs(self, case: Case) -> Inputs:
        """Normal random images with a fixed seed, never zeros."""
        assert case.resolution is not None
        device = case.device.value  # drawn there: a batch of large images would take a CPU several seconds
        generator = torch.Generator(device).manual_seed(SEED)
        size = (case.batch_size, channels_of(case.args), *sides_of(case.resolution, self.dimensions))
        images = torch.randn(size, generator=generator, device=device)
        images = images.to(dtype=DTYPES[case.precision], memory_format=MEMORY_FORMATS[case.memory_format])
        return {"image": images}

    def largest_checked(self, case: Case, operator: str) -> float:
        largest = get_operator(operator).largest_px
        return case.extent if largest is None else largest.of(case.phase.trains)

    def sharding(self, model: nn.Module, case: Case) -> Sharding:
        assert case.resolution is not None
        images = torch.empty(1, channels_of(case.args), *sides_of(case.resolution, self.dimensions), device="meta")
        return sharding_of_images(model, images, case)

    def probe(
        self,
        model: nn.Module,
        case: Case,
        inputs: Inputs,
        extent: float,
        build: Callable[[Case], nn.Module],
    ) -> Probe:
        """An item that is the same in cases of every batch size and of larger resolutions; of a whole scan a window."""
        assert case.built_for is not None
        resolution = smaller(case.built_for, extent)
        alone = case.model_copy(update={**case.ALONE, "resolution": resolution})
        if resolution != case.built_for and not takes_any_size(model):
            model = build(alone).eval()
        return Probe(f"{resolution} px", {"resolution": resolution}, model, self.make_inputs(alone))


def smaller(resolution: Resolution, side: float) -> Resolution:
    """The resolution itself if its mean side is no larger, else equal sides of this, or about that of other sides."""
    if mean_side(resolution) <= side:
        return resolution
    if isinstance(resolution, int):
        return int(side)
    scale = side / mean_side(resolution)
    sides = (max(STEP_PX, int(px * scale) // STEP_PX * STEP_PX) for px in map(int, resolution.split("x")))
    return read_resolution("x".join(map(str, sides)))
