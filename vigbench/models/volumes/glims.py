"""GLIMS: convolutions of three dilations and windows that attend, in a U (arXiv 2404.17854), as released.

Of yaziciz/GLIMS, commit a6a8062. What that code does otherwise than its paper is kept, as its weights need it; where
it does so stands in `convolution.py` and `windows.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, cast, get_args

import torch
import torch.nn.functional as F
from timm.models import register_model
from torch import Tensor, nn

from vigbench.models.model import Model
from vigbench.models.volumes.convolution import ConvUnit, DecoderLevel, EncoderLevel, SkipGate, SpatialGateMode
from vigbench.models.volumes.windows import CornerMerging, Grid, TokenExpansion, WindowBlock, WindowLayout
from vigbench.nearest import one_of
from vigbench.ops.attention import set_attention
from vigbench.ops.registry import get_implementation

STRIDE = 32  # of the deepest stage
RELEASED_SIZE = (96, 96, 96)
OF_TIMM = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")  # what timm hands to every model


@dataclass(frozen=True)
class GlimsConfig:
    """What `create_model("glims", ...)` takes.

    Attributes:
        img_size: sides of the volumes, depth, height and width or one for all; multiples of 32.
        in_chans: channels of a volume.
        num_classes: channels of the logits.
        feature_size: channels of the first level.
        spatial_gate: "released" computes a convolution whose result is lost, "skipped" does not; both give the same.
        dilated_convs: the implementation of the operator of that name.
    """

    img_size: int | Sequence[int] = 96
    in_chans: int = 4
    num_classes: int = 3
    feature_size: int = 24
    spatial_gate: SpatialGateMode = "skipped"
    dilated_convs: str = "reference"


class WindowStage(nn.Module):
    """Position embeddings and blocks: (batch, dim, D, H, W) to tokens (batch, D, H, W, dim)."""

    def __init__(self, dim: int, grid: Grid, depth: int, **more: nn.Module) -> None:
        super().__init__()
        self.grid = grid
        blocks = nn.ModuleList(WindowBlock(dim, shifted=bool(i % 2)) for i in range(depth))
        self.layer = nn.ModuleDict({"blocks": blocks, **more})
        self.layer.position_embeddings = nn.Parameter(torch.zeros(1, dim, prod(grid)))
        nn.init.trunc_normal_(self.layer.position_embeddings, std=0.02)

    def placed(self, x: Tensor) -> Tensor:
        """With position embeddings, (batch, dim, D, H, W)."""
        return x + cast("Tensor", self.layer.position_embeddings).view(1, -1, *self.grid)


class Logits(nn.Module):
    """A convolution of 1 x 1 x 1 to the classes."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.ModuleDict({"conv": nn.Conv3d(dim, classes, 1)})

    def forward(self, x: Tensor) -> Tensor:
        return self.conv["conv"](x)  # type: ignore[no-any-return]


class GLIMS(Model):
    """Volumes (batch, in_chans, D, H, W) to logits (batch, num_classes, D, H, W).

    In training mode a list of four logits, of the whole, a half, a quarter and an eighth of the size. Beside that the
    mode changes nothing. A model takes volumes of its own `img_size`.
    """

    operator: str = "attention"
    takes_any_size: ClassVar[bool] = False

    def __init__(self, config: GlimsConfig) -> None:
        super().__init__()
        _require(config)
        dim, gate, dilated = config.feature_size, config.spatial_gate, config.dilated_convs
        self.img_size = sides_of(config.img_size)
        self.in_chans, self.num_classes = config.in_chans, config.num_classes
        self.deep_supervision: bool | None = None  # whether there are four logits; None: in training mode

        def grid(stride: int) -> Grid:
            depth, height, width = (side // stride for side in self.img_size)
            return depth, height, width

        self.stem = ConvUnit(nn.Conv3d(config.in_chans, dim, 1))
        self.dmsf_1, self.dmsf_2, self.dmsf_3, self.dmsf_4 = (EncoderLevel(dim * n, dilated) for n in (1, 2, 4, 8))
        self.dmsu_1, self.dmsu_2, self.dmsu_3, self.dmsu_4 = (DecoderLevel(dim * n, dilated) for n in (1, 2, 4, 8))
        self.csab1, self.csab2, self.csab3, self.csab4, self.csab5 = (SkipGate(dim * 2**n, gate) for n in range(5))
        self.t3 = WindowStage(8 * dim, grid(8), 2)
        self.t4_pre = WindowStage(16 * dim, grid(16), 6, downsample=CornerMerging(16 * dim))
        self.t4 = WindowStage(32 * dim, grid(32), 2)
        beside_skip = ConvUnit(nn.Conv3d(32 * dim, 16 * dim, 1))
        self.t4_post = WindowStage(16 * dim, grid(16), 6, upsample=TokenExpansion(32 * dim), conv1x1=beside_skip)
        self.t3_up = WindowStage(8 * dim, grid(8), 2)
        self.out1, self.out2, self.out3, self.out4 = (Logits(dim * n, config.num_classes) for n in (1, 2, 4, 8))

    def set_implementation(self, name: str) -> None:
        """Compute attention with this code from now on, in training and eval; ValueError for an unknown name."""
        super().set_implementation(name)
        set_attention(self, name)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Also takes weights of the released size, which `timm.create_model(checkpoint_path=...)` does not resample."""
        return super().load_state_dict(checkpoint_filter_fn(state_dict, self), strict, assign)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self._require_volumes(x)
        skip1, x = self.encode(self.dmsf_1, self.csab1, self.stem(x))
        skip2, x = self.encode(self.dmsf_2, self.csab2, x)
        skip3, x = self.encode(self.dmsf_3, self.csab3, x)
        x = channels_first(normalised(self.attend(self.t3, self.t3.placed(x))))
        skip4, x = self.encode(self.dmsf_4, self.csab4, x)
        x4 = self.run_block(self.dmsu_4, self.deepest(x), skip4)
        x = channels_first(normalised(self.attend(self.t3_up, self.t3_up.placed(x4))))
        x3 = self.run_block(self.dmsu_3, x, skip3)
        x2 = self.run_block(self.dmsu_2, x3, skip2)
        x1 = self.run_block(self.dmsu_1, x2, skip1)
        supervised = self.training if self.deep_supervision is None else self.deep_supervision
        if not supervised:
            return self.out1(x1)  # type: ignore[no-any-return]
        return [self.out1(x1), self.out2(x2), self.out3(x3), self.out4(x4)]

    def encode(self, level: nn.Module, gate: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """The gated skip of a level, and what goes on."""
        skip, x = cast("tuple[Tensor, Tensor]", self.run_block(level, x))
        return gate(skip), x

    def deepest(self, x: Tensor) -> Tensor:
        """From a sixteenth of the size to a thirty-second and back, (batch, 16 feature_size, D, H, W)."""
        tokens = self.attend(self.t4_pre, self.t4_pre.placed(x))
        skip5 = channels_first(normalised(tokens))
        merged = channels_first(normalised(self.t4_pre.layer["downsample"](tokens)))
        tokens = normalised(self.attend(self.t4, self.t4.placed(merged)))
        after = self.t4_post.layer
        x = self.t4_post.placed(channels_first(after["upsample"](tokens)))
        x = after["conv1x1"](torch.cat([x, self.csab5(skip5)], 1))
        return channels_first(self.attend(self.t4_post, x))

    def attend(self, stage: WindowStage, x: Tensor) -> Tensor:
        """A stage's blocks on (batch, dim, D, H, W): tokens (batch, D, H, W, dim)."""
        x = x.permute(0, 2, 3, 4, 1)
        seams = WindowLayout.of(x.shape[1:4], shifted=True).seams(x)
        for block in cast("nn.ModuleList", stage.layer["blocks"]):
            x = self.run_block(block, x, seams)
        return x

    def _require_volumes(self, x: Tensor) -> None:
        if x.ndim != 5 or x.shape[1] != self.in_chans or tuple(x.shape[2:]) != self.img_size:
            size = "x".join(map(str, self.img_size))
            raise ValueError(
                f"this GLIMS takes volumes (batch, {self.in_chans}, {', '.join(map(str, self.img_size))}), not "
                f"{tuple(x.shape)}: its position embeddings are of {size}; create it with your img_size and in_chans"
            )


def normalised(tokens: Tensor) -> Tensor:
    """LayerNorm over channels, without parameters."""
    return F.layer_norm(tokens, tokens.shape[-1:])


def channels_first(tokens: Tensor) -> Tensor:
    """(batch, D, H, W, dim) to (batch, dim, D, H, W)."""
    return tokens.permute(0, 4, 1, 2, 3)


def sides_of(size: int | Sequence[int]) -> Grid:
    """Depth, height and width. ValueError unless each is a multiple of 32."""
    sides = [size] * 3 if isinstance(size, int) else list(size)
    if len(sides) != 3 or any(side < STRIDE or side % STRIDE for side in sides):
        raise ValueError(
            f"GLIMS halves a volume {STRIDE.bit_length() - 1} times, and {'x'.join(map(str, sides))} cannot be: choose "
            f"three sides that are multiples of {STRIDE}, such as 96 or 96x96x64"
        )
    depth, height, width = sides
    return depth, height, width


def _require(config: GlimsConfig) -> None:
    if config.spatial_gate not in (modes := get_args(SpatialGateMode)):
        raise ValueError(f"unknown spatial_gate {config.spatial_gate!r}: choose {one_of(modes)}")
    if config.feature_size < 4 or config.feature_size % 4:
        raise ValueError(f"feature_size is {config.feature_size}: heads are of 32 channels, choose a multiple of 4")
    if config.dilated_convs != "auto":
        get_implementation("dilated_convs", config.dilated_convs)


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """Released weights for the model's size: position embeddings of 96 x 96 x 96 are resampled trilinearly.

    No released code does that: what a model computes with them at another size is vigbench's definition.
    """
    state = dict(state_dict)
    own = {name: parameter for name, parameter in model.named_parameters() if name.endswith("position_embeddings")}
    for name, parameter in own.items():
        given, stage = state.get(name), model.get_submodule(name.partition(".")[0])
        assert isinstance(stage, WindowStage)
        stride = cast("GLIMS", model).img_size[0] // stage.grid[0]
        released = tuple(side // stride for side in RELEASED_SIZE)
        if given is None or given.shape == parameter.shape or given.shape[-1] != prod(released):
            continue
        volume = given.float().view(1, -1, *released)
        resampled = F.interpolate(volume, stage.grid, mode="trilinear", align_corners=False)
        state[name] = resampled.flatten(2).to(given.dtype)
    return state


@register_model
def glims(pretrained: bool = False, **kwargs: Any) -> GLIMS:
    """GLIMS: 47.2 M parameters and 57.0 GMACs at 96 x 96 x 96; `kwargs` are those of `GlimsConfig`."""
    if pretrained:
        raise ValueError("glims has no weights to download: give those that its authors share as checkpoint_path")
    given = {name: value for name, value in kwargs.items() if name not in OF_TIMM}
    return GLIMS(GlimsConfig(**given))  # timm's own builder knows sizes of two sides only
