"""Networks of other packages that segment volumes: what people pick instead, each built as its authors configure it.

Names and options are here; a package is imported when a network of it is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import nn

from vigbench.ops.registry import UnsupportedError

EXTRA = "pip install 'vigbench[volumes]'"
Sides = tuple[int, int, int]


@dataclass(frozen=True)
class Package:
    """A package that need not be installed.

    Attributes:
        name: of its distribution.
        oldest: version of it, (major, minor).
        why: not an older one.
    """

    name: str
    oldest: tuple[int, int]
    why: str

    def require(self) -> None:
        """Raise UnsupportedError, with the command that installs it, where it is not there, or too old."""
        try:
            found = version(self.name)
        except PackageNotFoundError:
            raise UnsupportedError(f"The package {self.name} is not installed: {EXTRA}") from None
        if tuple(int(part) for part in found.split(".")[:2] if part.isdigit()) < self.oldest:
            least = ".".join(map(str, self.oldest))
            raise UnsupportedError(
                f"{self.name} {found} is installed, and {least} or newer is needed ({self.why}): {EXTRA} "
                f"'{self.name}>={least}'"
            )


@dataclass(frozen=True)
class Network:
    """A network of another package.

    Attributes:
        package: that has it.
        build: module:function of vigbench, called as build(sides, in_chans, num_classes, **its own options).
        stride: of its deepest level, which divides a volume's sides.
        one_voxel: whether one voxel may be left there, which InstanceNorm does not normalise.
        operator: whose implementations can be chosen; None: no choice.
    """

    package: Package
    build: str
    stride: int
    one_voxel: bool = False
    operator: str | None = None

    def create(
        self, img_size: int | Sequence[int] = 96, in_chans: int = 4, num_classes: int = 3, **options: Any
    ) -> nn.Module:
        """The network for volumes of `img_size`, one side or depth, height and width.

        Raises:
            UnsupportedError: without its package, or with an older one.
            ValueError: for sides that it cannot halve.
            ValueError, TypeError: of the network itself, for options that it does not take.
        """
        self.package.require()
        module, _, function = self.build.partition(":")
        sides = (img_size,) * 3 if isinstance(img_size, int) else tuple(img_size)
        self._require_sides(sides)
        build: Callable[..., nn.Module] = getattr(import_module(module), function)
        return build(sides, in_chans, num_classes, **options)

    def _require_sides(self, sides: Sequence[int]) -> None:
        stride, text = self.stride, "x".join(map(str, sides))
        if len(sides) != 3 or any(side < stride or side % stride for side in sides):
            raise ValueError(f"its deepest level has a {stride}th of each side: choose three multiples of {stride}")
        if not self.one_voxel and all(side == stride for side in sides):
            raise ValueError(
                f"at {text} one voxel is left at its deepest level, which InstanceNorm cannot normalise: choose "
                f"multiples of {stride} of which one is {2 * stride} or more"
            )


MONAI = Package("monai", (1, 5), "before it Swin UNETR computes other values from the same weights")
MONAI_OF_SCANS = Package("monai", (1, 6), "before it windows of a scan are cut wrongly with torch newer than 2.9")
OF_NNUNET = Package("dynamic-network-architectures", (0, 3), "no earlier one has been tried")
_MONAI = "vigbench.models.volumes.monai_networks"
NETWORKS: Mapping[str, Network] = {
    "swin_unetr": Network(MONAI, f"{_MONAI}:swin_unetr", 32, operator="attention"),
    "unetr": Network(MONAI, f"{_MONAI}:unetr", 16, one_voxel=True),
    "unet": Network(MONAI, f"{_MONAI}:unet", 16),
    "segresnet": Network(MONAI, f"{_MONAI}:segresnet", 8, one_voxel=True),
    "nnunet": Network(OF_NNUNET, "vigbench.models.volumes.nnunet:nnunet", 32),
}
