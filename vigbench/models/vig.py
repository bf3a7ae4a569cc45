"""ViG, a plain vision backbone on bidirectional gated linear attention (arXiv 2405.18425), as released (hustvl/ViG)."""

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from vigbench.models.backbone import Backbone, Pool, default_cfg
from vigbench.models.layers import GatedLinearAttention2d, LayerNorm2d, RMSNorm, linear_head, swiglu, swiglu_dim

RMS_EPS = 1e-6
PATCH_SIZE = 16
POS_GRID = 14  # tokens a side at 224


class SwiGLU(nn.Module):
    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, 2 * hidden_dim, bias=False)
        self.down_proj = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(swiglu(self.gate_proj(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """(batch, rows, columns, dim) to the same."""

    def __init__(self, dim: int, num_heads: int, act: bool, drop_path: float) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(dim, eps=RMS_EPS)
        self.attn = GatedLinearAttention2d(dim, num_heads, act=act, halve_in_eval=True)
        self.mlp_norm = RMSNorm(dim, eps=RMS_EPS)
        self.mlp = SwiGLU(dim, swiglu_dim(dim, multiple=256))
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.attn_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))  # type: ignore[no-any-return]


class PatchEmbed(nn.Module):
    """Two convolutions of total stride 16: (batch, in_chans, height, width) to (batch, rows, columns, dim)."""

    def __init__(self, in_chans: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(in_chans, dim // 2, 9, stride=8, padding=1),
            LayerNorm2d(dim // 2),
            nn.SiLU(),
            nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1),
            LayerNorm2d(dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class ViG(Backbone):
    """Any input size its stem accepts; position embeddings are resized to the grid of tokens."""

    def __init__(
        self,
        embed_dim: int = 192,
        num_heads: int = 3,
        depth: int = 12,
        act: bool = False,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: Pool = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(embed_dim, num_classes, in_chans, global_pool)
        self.embed_dim = embed_dim
        self.feature_info = [
            {"num_chs": embed_dim, "reduction": PATCH_SIZE, "module": f"blocks.{i}"} for i in range(depth)
        ]
        drop_paths = [drop_path_rate * i / max(1, depth - 1) for i in range(depth)]
        self.pos_embed = nn.Parameter(torch.zeros(1, POS_GRID**2, embed_dim))
        self.patch_embed = PatchEmbed(in_chans, embed_dim)
        self.blocks = nn.ModuleList([Block(embed_dim, num_heads, act, rate) for rate in drop_paths])
        self.norm = RMSNorm(embed_dim, eps=RMS_EPS)
        self.head_drop = nn.Dropout(drop_rate)
        self.head = linear_head(embed_dim, num_classes)
        self.init_weights()

    def init_weights(self) -> None:
        """The released initialisation."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.apply(_init_linear)
        for module in self.modules():
            if isinstance(module, GatedLinearAttention2d):
                module.init_weights()

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalised tokens in raster order, (batch, rows * columns, embed_dim)."""
        x = self._embed(x)
        for block in self.blocks:
            x = self.run_block(block, x)
        return self.norm(x).flatten(1, 2)  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.head_drop(x.mean(dim=1) if self.global_pool == "avg" else x)
        return x if pre_logits else self.head(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Outputs of chosen blocks as NCHW or NLC, after the final tokens unless `intermediates_only`."""
        if output_fmt not in ("NCHW", "NLC"):
            raise ValueError(f"unknown output_fmt {output_fmt!r}: choose NCHW or NLC")
        chosen, last = feature_take_indices(len(self.blocks), indices)
        intermediates = []
        x = self._embed(x)
        for i, block in enumerate(self.blocks[: last + 1] if stop_early else self.blocks):
            x = self.run_block(block, x)
            if i in chosen:
                y = self.norm(x) if norm else x
                intermediates.append(y.permute(0, 3, 1, 2) if output_fmt == "NCHW" else y.flatten(1, 2))
        return intermediates if intermediates_only else (self.norm(x).flatten(1, 2), intermediates)

    def _embed(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        return x + self._pos_embed(x.shape[1], x.shape[2]).to(x.dtype)

    def _pos_embed(self, rows: int, columns: int) -> Tensor:
        pos_embed = self.pos_embed.view(1, POS_GRID, POS_GRID, self.embed_dim)
        if (rows, columns) == (POS_GRID, POS_GRID):
            return pos_embed
        pos_embed = pos_embed.permute(0, 3, 1, 2).float()
        pos_embed = F.interpolate(pos_embed, (rows, columns), mode="bicubic", align_corners=False)
        return pos_embed.permute(0, 2, 3, 1)

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: Pool | None = None) -> None:
        """Replace the last layer; none for 0 classes."""
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.head = linear_head(self.embed_dim, num_classes, like=self.pos_embed)
        self.head.apply(_init_linear)

    def no_weight_decay(self) -> set[str]:
        """Parameters an optimizer should not decay."""
        return {"pos_embed"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: ARG002  timm's signature
        """Parameter groups by depth, for layer-wise learning rates."""
        return {"stem": r"^pos_embed|^patch_embed", "blocks": [(r"^blocks\.(\d+)", None), (r"^norm", (99999,))]}


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


SETTINGS: dict[str, dict[str, Any]] = {
    "vig_tiny_patch16_224": {"embed_dim": 192, "num_heads": 3, "act": True},
    "vig_small_patch16_224": {"embed_dim": 384, "num_heads": 6},
    "vig_base_patch16_224": {"embed_dim": 768, "num_heads": 12},
}

default_cfgs = generate_default_cfgs(
    {name: default_cfg(first_conv="patch_embed.proj.0", classifier="head") for name in SETTINGS}
)


def _create(name: str, pretrained: bool, **kwargs: Any) -> ViG:
    feature_cfg = {"out_indices": 4, "feature_cls": "getter"}
    settings = {**SETTINGS[name], **kwargs}
    model: ViG = build_model_with_cfg(ViG, name, pretrained, feature_cfg=feature_cfg, **settings)
    return model


@register_model
def vig_tiny_patch16_224(pretrained: bool = False, **kwargs: Any) -> ViG:
    """ViG-T: 5.8 M parameters, 1.20 GMACs at 224."""
    return _create("vig_tiny_patch16_224", pretrained, **kwargs)


@register_model
def vig_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> ViG:
    """ViG-S: 22.6 M parameters."""
    return _create("vig_small_patch16_224", pretrained, **kwargs)


@register_model
def vig_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> ViG:
    """ViG-B: 89.0 M parameters."""
    return _create("vig_base_patch16_224", pretrained, **kwargs)
