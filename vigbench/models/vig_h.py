"""ViG-H: ViG in four stages of halving resolution (arXiv 2405.18425), as released (hustvl/ViG)."""

from typing import Any, cast

import torch
from timm.layers.drop import DropPath
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from vigbench.models.backbone import Backbone, Pool, default_cfg
from vigbench.models.layers import GatedLinearAttention2d, LayerNorm2d, linear_head, swiglu, swiglu_dim

HEAD_DIM = 32


class SwiGLU(nn.Module):
    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 2 * hidden_dim, bias=False)
        self.fc2 = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(swiglu(self.fc1(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """(batch, height, width, dim) to the same."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.op = GatedLinearAttention2d(dim, dim // HEAD_DIM)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = SwiGLU(dim, swiglu_dim(dim, multiple=32))
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.op(self.norm(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]


class Stage(nn.Module):
    """Blocks, and the convolution of stride 2 that leads to the next stage's width."""

    def __init__(self, dim: int, out_dim: int | None, drop_paths: list[float]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(dim, rate) for rate in drop_paths))
        self.downsample = nn.Identity() if out_dim is None else _downsample(dim, out_dim)


class Classifier(nn.Module):
    """Norm, pooling and last layer; the model calls them one by one."""

    def __init__(self, dim: int, num_classes: int, drop_rate: float) -> None:
        super().__init__()
        self.norm = LayerNorm2d(dim)
        self.drop = nn.Dropout(drop_rate)
        self.head = linear_head(dim, num_classes)


class ViGH(Backbone):
    """Any input size. Between stages features are NCHW, channels-last in memory."""

    def __init__(
        self,
        depths: tuple[int, ...] = (2, 2, 5, 2),
        embed_dim: int = 96,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: Pool = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        dims = [embed_dim * 2**i for i in range(len(depths))]
        super().__init__(dims[-1], num_classes, in_chans, global_pool)
        self.feature_info = [
            {"num_chs": dim, "reduction": 4 * 2**i, "module": f"layers.{i}"} for i, dim in enumerate(dims)
        ]
        rates = torch.linspace(0, drop_path_rate, sum(depths), device="cpu").tolist()
        starts = [sum(depths[:i]) for i in range(len(depths))]
        self.patch_embed = _stem(in_chans, embed_dim)
        self.layers = nn.ModuleList(
            Stage(dim, out_dim, rates[start : start + depth])
            for dim, out_dim, start, depth in zip(dims, [*dims[1:], None], starts, depths, strict=True)
        )
        self.classifier = Classifier(dims[-1], num_classes, drop_rate)
        self.init_weights()

    @property
    def stages(self) -> list[Stage]:
        """`layers`, the name in released checkpoints, with its type."""
        return cast("list[Stage]", list(self.layers))

    def init_weights(self) -> None:
        """The released initialisation: of the mixers' own, only the depthwise convolutions' remains."""
        for module in self.modules():
            if isinstance(module, GatedLinearAttention2d):
                module.init_weights()
        self.apply(_init_linear)

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalised features, (batch, channels, height / 32, width / 32)."""
        x = self.patch_embed(x)
        for stage in self.stages:
            x = stage.downsample(self._run_blocks(stage, x))
        return self.classifier.norm(x)  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        pooled = self.global_pool == "avg"
        x = self.classifier.drop(x.mean(dim=(2, 3)) if pooled else x)
        if pre_logits or self.num_classes == 0:
            return x
        return self.classifier.head(x if pooled else x.permute(0, 2, 3, 1))  # type: ignore[no-any-return]

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Outputs of chosen stages as NCHW, after the final features unless `intermediates_only`.

        `norm` applies the model's last norm to the last stage's output, the only one it fits.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"unknown output_fmt {output_fmt!r}: ViG-H has NCHW only")
        chosen, last = feature_take_indices(len(self.stages), indices)
        intermediates = []
        x = self.patch_embed(x)
        for i, stage in enumerate(self.stages[: last + 1] if stop_early else self.stages):
            x = self._run_blocks(stage, x)
            if i in chosen:
                is_last = i == len(self.stages) - 1
                intermediates.append(self.classifier.norm(x) if norm and is_last else x)
            x = stage.downsample(x)
        return intermediates if intermediates_only else (self.classifier.norm(x), intermediates)

    def _run_blocks(self, stage: Stage, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        for block in stage.blocks:
            x = self.run_block(block, x)
        return x.permute(0, 3, 1, 2)

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier.head

    def reset_classifier(self, num_classes: int, global_pool: Pool | None = None) -> None:
        """Replace the last layer; none for 0 classes."""
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.classifier.head = linear_head(self.num_features, num_classes, like=self.classifier.norm.weight)
        self.classifier.head.apply(_init_linear)

    def no_weight_decay(self) -> set[str]:
        """Parameters an optimizer should not decay, beyond the norms and biases that all models leave out."""
        return set()

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Parameter groups by depth, for layer-wise learning rates."""
        fine = [
            (r"^layers\.(\d+)\.blocks\.(\d+)", None),
            (r"^layers\.(\d+)\.downsample", (0,)),
            (r"^classifier\.norm", (99999,)),
        ]
        return {"stem": r"^patch_embed", "blocks": r"^layers\.(\d+)" if coarse else fine}


# Identity layers keep the released positions in a Sequential, which are part of the state-dict keys.
def _stem(in_chans: int, dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_chans, dim // 2, 3, stride=2, padding=1),
        nn.Identity(),
        LayerNorm2d(dim // 2),
        nn.Identity(),
        nn.GELU(),
        nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1),
        nn.Identity(),
        LayerNorm2d(dim),
    )


def _downsample(dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Identity(), nn.Conv2d(dim, out_dim, 3, stride=2, padding=1), nn.Identity(), LayerNorm2d(out_dim)
    )


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


SETTINGS: dict[str, dict[str, Any]] = {
    "vig_h_tiny_patch4_224": {"depths": (2, 2, 5, 2), "embed_dim": 96},
    "vig_h_small_patch4_224": {"depths": (2, 2, 17, 2), "embed_dim": 96},
    "vig_h_base_patch4_224": {"depths": (2, 2, 17, 2), "embed_dim": 128},
}

default_cfgs = generate_default_cfgs(
    {name: default_cfg(pool_size=(7, 7), first_conv="patch_embed.0", classifier="classifier.head") for name in SETTINGS}
)


def _create(name: str, pretrained: bool, **kwargs: Any) -> ViGH:
    feature_cfg = {"out_indices": (0, 1, 2, 3), "feature_cls": "getter"}
    settings = {**SETTINGS[name], **kwargs}
    model: ViGH = build_model_with_cfg(ViGH, name, pretrained, feature_cfg=feature_cfg, **settings)
    return model


@register_model
def vig_h_tiny_patch4_224(pretrained: bool = False, **kwargs: Any) -> ViGH:
    """ViG-H-T: 28.6 M parameters, 4.54 GMACs at 224."""
    return _create("vig_h_tiny_patch4_224", pretrained, **kwargs)


@register_model
def vig_h_small_patch4_224(pretrained: bool = False, **kwargs: Any) -> ViGH:
    """ViG-H-S: 50.1 M parameters."""
    return _create("vig_h_small_patch4_224", pretrained, **kwargs)


@register_model
def vig_h_base_patch4_224(pretrained: bool = False, **kwargs: Any) -> ViGH:
    """ViG-H-B: 88.9 M parameters."""
    return _create("vig_h_base_patch4_224", pretrained, **kwargs)
