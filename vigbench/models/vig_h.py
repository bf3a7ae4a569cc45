"""ViG-H: ViG in four stages of halving resolution (arXiv 2405.18425), as released (hustvl/ViG)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

import torch
from timm.layers.drop import DropPath
from timm.models import register_model
from torch import Tensor, nn

from vigbench.models.backbone import Backbone, Config, linear_head, timm_cfgs
from vigbench.models.mixers.gated_linear_attention import GatedLinearAttention2d
from vigbench.models.model import create
from vigbench.models.vig import LayerNorm2d, fused_block, swiglu, swiglu_dim
from vigbench.ops.gla import fuses_block

HEAD_DIM = 32


@dataclass(frozen=True, kw_only=True)
class ViGHConfig(Config):
    depths: tuple[int, ...] = (2, 2, 5, 2)
    embed_dim: int = 96  # of the first stage; every further one doubles it

    @property
    def dims(self) -> list[int]:
        return [self.embed_dim * 2**stage for stage in range(len(self.depths))]


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
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        if fuses_block(self.op.implementation, x):
            mlp = self.mlp.fc1.weight, self.mlp.fc2.weight
            return fused_block(x, self.op, self.norm, self.norm2, *mlp, self.drop_path)
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

    fuses_blocks = True
    first_conv = "patch_embed.0"
    last_layer = "classifier.head"
    output_fmts = ("NCHW",)

    def __init__(self, config: ViGHConfig) -> None:
        dims = config.dims
        super().__init__(config, num_features=dims[-1])
        self.feature_info = [
            {"num_chs": dim, "reduction": 4 * 2**i, "module": f"layers.{i}"} for i, dim in enumerate(dims)
        ]
        rates = torch.linspace(0, config.drop_path_rate, sum(config.depths), device="cpu").split(config.depths)
        self.patch_embed = _stem(config.in_chans, config.embed_dim)
        self.layers = nn.ModuleList(
            Stage(dim, out_dim, drop_paths.tolist())
            for dim, out_dim, drop_paths in zip(dims, [*dims[1:], None], rates, strict=True)
        )
        self.classifier = Classifier(dims[-1], config.num_classes, config.drop_rate)
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
        self.apply(self.init_linear)

    def forward_blocks(
        self, images: Tensor, taken: Collection[int] = (), last: int | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        x, outputs = self.patch_embed(images), []
        for i, stage in enumerate(self.stages):
            x = self._run_blocks(stage, x)
            if i in taken:
                outputs.append(x)
            x = stage.downsample(x)
            if i == last:
                break
        return x, outputs

    def final_features(self, x: Tensor) -> Tensor:
        """Normalised features, (batch, channels, height / 32, width / 32)."""
        return self.classifier.norm(x)  # type: ignore[no-any-return]

    def feature_map(self, x: Tensor, images: Tensor, norm: bool) -> Tensor:  # noqa: ARG002  it is one already
        """Output of a stage; the model's last norm fits the last stage only."""
        return self.classifier.norm(x) if norm and x.shape[1] == self.num_features else x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        pooled = self.global_pool == "avg"
        x = self.classifier.drop(x.mean(dim=(2, 3)) if pooled else x)
        if pre_logits or self.num_classes == 0:
            return x
        return self.classifier.head(x if pooled else x.permute(0, 2, 3, 1))  # type: ignore[no-any-return]

    def _run_blocks(self, stage: Stage, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        for block in stage.blocks:
            x = self.run_block(block, x)
        return x.permute(0, 3, 1, 2)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
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


CONFIGS = {
    "vig_h_tiny_patch4_224": ViGHConfig(depths=(2, 2, 5, 2), embed_dim=96),
    "vig_h_small_patch4_224": ViGHConfig(depths=(2, 2, 17, 2), embed_dim=96),
    "vig_h_base_patch4_224": ViGHConfig(depths=(2, 2, 17, 2), embed_dim=128),
}
default_cfgs = timm_cfgs(ViGH, CONFIGS, pool_size=(7, 7))


@register_model
def vig_h_tiny_patch4_224(pretrained: bool = False, **kwargs: Any) -> ViGH:
    """ViG-H-T: 28.6 M parameters, 4.54 GMACs at 224."""
    return create(ViGH, CONFIGS, "vig_h_tiny_patch4_224", pretrained, **kwargs)


@register_model
def vig_h_small_patch4_224(pretrained: bool = False, **kwargs: Any) -> ViGH:
    """ViG-H-S: 50.1 M parameters."""
    return create(ViGH, CONFIGS, "vig_h_small_patch4_224", pretrained, **kwargs)


@register_model
def vig_h_base_patch4_224(pretrained: bool = False, **kwargs: Any) -> ViGH:
    """ViG-H-B: 88.9 M parameters."""
    return create(ViGH, CONFIGS, "vig_h_base_patch4_224", pretrained, **kwargs)
