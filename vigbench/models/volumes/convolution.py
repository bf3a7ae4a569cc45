"""The convolutional half of GLIMS (arXiv 2404.17854): units, dilated blocks, levels of the U, gates on its skips."""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.ops.dilated_convs import dilated_convs
from vigbench.ops.unread_convolution import instead_of_convolution

DILATIONS = (1, 2, 3)
NORM_EPS = 1e-5
SpatialGateMode = Literal["skipped", "released"]


class ConvUnit(nn.Module):
    """Convolution, InstanceNorm without parameters, PReLU with one slope: (batch, in, D, H, W) to `out` channels."""

    def __init__(self, conv: nn.Conv3d | nn.ConvTranspose3d) -> None:
        super().__init__()
        self.conv = conv
        self.adn = nn.ModuleDict({"A": nn.PReLU()})

    def forward(self, x: Tensor) -> Tensor:
        return self.adn["A"](F.instance_norm(self.conv(x), eps=NORM_EPS))  # type: ignore[no-any-return]


class DilatedConv(nn.Module):
    """A depthwise convolution of 3 x 3 x 3 with GroupNorm of a group per channel and PReLU: what a branch has."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(dim, dim, 3, padding=dilation, dilation=dilation, groups=dim)
        self.norm = nn.GroupNorm(dim, dim, eps=NORM_EPS)
        self.prelu = nn.PReLU()


class DilatedBlock(nn.Module):
    """Three dilations side by side, two units of 1 x 1 x 1 and a residual ("DACB"): (batch, dim, D, H, W) to the same.

    `prelu` is in released checkpoints and never used. `implementation` says which code computes the branches.
    """

    def __init__(self, dim: int, implementation: str) -> None:
        super().__init__()
        self.implementation = implementation
        self.conv_3x3, self.conv_3x3_dil, self.conv_3x3_dil2 = (DilatedConv(dim, dilation) for dilation in DILATIONS)
        self.conv_1x1 = ConvUnit(nn.Conv3d(3 * dim, 2 * dim, 1))
        self.conv_1x1_2 = ConvUnit(nn.Conv3d(2 * dim, dim, 1))
        self.prelu = nn.PReLU()
        self.prelu2 = nn.PReLU()

    @property
    def is_reference(self) -> bool:
        """Whether the branches are computed by the plain code."""
        return self.implementation == "reference"

    def use_reference(self) -> None:
        """Compute the branches by the plain code."""
        self.implementation = "reference"

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.conv_3x3, self.conv_3x3_dil, self.conv_3x3_dil2)
        mixed = dilated_convs(
            x,
            [branch.conv.weight for branch in branches],
            [cast("Tensor", branch.conv.bias) for branch in branches],
            [branch.norm.weight for branch in branches],
            [branch.norm.bias for branch in branches],
            [branch.prelu.weight for branch in branches],
            eps=NORM_EPS,
            implementation=self.implementation,
        )
        mixed = self.conv_1x1_2(self.conv_1x1(mixed)) + x
        return self.prelu2(F.instance_norm(mixed, eps=NORM_EPS))  # type: ignore[no-any-return]


class EncoderLevel(nn.Module):
    """Two dilated blocks, whose result is a skip, and a unit of stride 2 to twice the channels ("DMSF")."""

    def __init__(self, dim: int, implementation: str) -> None:
        super().__init__()
        self.l1, self.l2 = (DilatedBlock(dim, implementation) for _ in range(2))
        self.ds = nn.ModuleDict({"conv_3x3": ConvUnit(nn.Conv3d(dim, 2 * dim, 2, stride=2))})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The skip, and what goes on at half the size."""
        skip = self.l2(self.l1(x))
        return skip, self.ds["conv_3x3"](skip)


class DecoderLevel(nn.Module):
    """To twice the size and half the channels, beside the skip, and two dilated blocks ("DMSU")."""

    def __init__(self, dim: int, implementation: str) -> None:
        super().__init__()
        self.up = nn.ModuleDict({"convT": ConvUnit(nn.ConvTranspose3d(2 * dim, dim, 2, stride=2))})
        self.conv1x1 = ConvUnit(nn.Conv3d(2 * dim, dim, 1))
        self.l1, self.l2 = (DilatedBlock(dim, implementation) for _ in range(2))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = torch.cat([self.up["convT"](x), skip], 1)
        return self.l2(self.l1(self.conv1x1(x)))  # type: ignore[no-any-return]


class ChannelGate(nn.Module):
    """A gate for each channel from its mean and its maximum, by one MLP: (batch, dim, 1, 1, 1)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim))

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.mlp(x.mean((2, 3, 4))) + self.mlp(x.amax((2, 3, 4)))
        return pooled.sigmoid()[:, :, None, None, None]  # type: ignore[no-any-return]


class SpatialGate(nn.Module):
    """A gate for each voxel, as released: LayerNorm over its one channel leaves the norm's bias, one learned number.

    So the convolution before it costs and cannot learn. Skipping it is exact.
    """

    def __init__(self, mode: SpatialGateMode) -> None:
        super().__init__()
        self.mode = mode
        self.spatial = nn.ModuleDict(
            {"conv": nn.Conv3d(2, 1, 7, padding=3, bias=False), "norm": nn.LayerNorm(1), "prelu": nn.PReLU()}
        )

    def forward(self, x: Tensor) -> Tensor:
        conv, norm, prelu = (self.spatial[name] for name in ("conv", "norm", "prelu"))
        if self.mode == "released":
            pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
            number = norm(conv(pooled).movedim(1, -1)).movedim(-1, 1)
        else:
            number = instead_of_convolution(cast("Tensor", norm.bias), x[:, :2], cast("Tensor", conv.weight))
        return prelu(number).sigmoid()  # type: ignore[no-any-return]


class SkipGate(nn.Module):
    """Both gates on a skip, each from the skip itself ("CSAB")."""

    def __init__(self, dim: int, mode: SpatialGateMode) -> None:
        super().__init__()
        self.ChannelGate = ChannelGate(dim)
        self.SpatialGate = SpatialGate(mode)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.ChannelGate(x) * self.SpatialGate(x)  # type: ignore[no-any-return]
