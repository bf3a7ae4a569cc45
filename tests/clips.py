"""A task that the package knows nothing of: clips of three sides beside their speed, answered by two named outputs."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vigbench import Task
from vigbench.suites.case import Case
from vigbench.suites.resolution import sides_of

SUBJECTS = ("tests.clips:make_narrow", "tests.clips:make_wide")


class ClipTask(Task):
    """A clip (batch, 1, frames, height, width) and its speed (batch, 1)."""

    name = unit = "clip"
    dimensions = 3
    size_words = "frames x height x width"

    def make_inputs(self, case: Case) -> Mapping[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        assert case.resolution is not None
        size = (case.batch_size, 1, *sides_of(case.resolution, self.dimensions))
        clip, speed = (torch.randn(one, generator=generator) for one in (size, (case.batch_size, 1)))
        return {"clip": clip.to(case.device.value), "speed": speed.to(case.device.value)}

    def loss(self, returned: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Tensor:
        return returned["kind"].square().mean() + (returned["speed"] - inputs["speed"]).abs().mean()


class ClipNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv3d(1, width, (2, 4, 4), stride=(2, 4, 4))
        self.kind, self.speed = nn.Linear(width + 1, 5), nn.Linear(width + 1, 1)

    def forward(self, clip: Tensor, speed: Tensor) -> dict[str, Tensor]:
        seen = torch.cat([self.patches(clip).relu().mean((2, 3, 4)), speed], 1)
        return {"kind": self.kind(seen), "speed": self.speed(seen)}


def make_narrow() -> nn.Module:
    torch.manual_seed(0)
    return ClipNet(8)


def make_wide() -> nn.Module:
    torch.manual_seed(0)
    return ClipNet(16)


make_narrow.task = make_wide.task = ClipTask  # type: ignore[attr-defined]
