"""ViG, a plain vision backbone on bidirectional gated linear attention (arXiv 2405.18425), as released (hustvl/ViG).

Features are channels-last throughout: (batch, rows, columns, channels).
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.models import register_model
from torch import Tensor, nn

from vigbench.models.backbone import POS_GRID, PlainBackbone, PlainConfig, linear_head, resize_grid, timm_cfgs
from vigbench.models.mixers import MIXERS
from vigbench.models.mixers.gated_linear_attention import RMS_EPS, GatedLinearAttention2d, Norm, bias_of
from vigbench.models.model import RMSNorm, create
from vigbench.nearest import one_of
from vigbench.ops.conv_norm import conv_norm
from vigbench.ops.gla import fuses_block
from vigbench.ops.norm_swiglu import norm_swiglu


@dataclass(frozen=True, kw_only=True)
class ViGConfig(PlainConfig):
    num_heads: int = 3
    act: bool = False  # of the mixers
    mixer: str = "gla"  # what they compute: one of MIXERS


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of a (batch, channels, height, width) tensor; leaves it channels-last in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def swiglu(x: Tensor) -> Tensor:
    """SiLU of the first half of the channels times the second half."""
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)


def swiglu_dim(dim: int, multiple: int) -> int:
    """Hidden width of the SwiGLU MLPs: 8/3 dim, rounded up to a multiple."""
    return -(-int(dim * 8 / 3) // multiple) * multiple


class SwiGLU(nn.Module):
    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, 2 * hidden_dim, bias=False)
        self.down_proj = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(swiglu(self.gate_proj(x)))  # type: ignore[no-any-return]


def fused_block(
    x: Tensor,
    mixer: GatedLinearAttention2d,
    norm: Norm,
    mlp_norm: Norm,
    gate_weight: Tensor,
    down_weight: Tensor,
    drop_path: DropPath,
) -> Tensor:
    """What a block computes, by fused kernels; sums are in them, too, where no path is dropped."""
    adds = not (drop_path.training and drop_path.drop_prob)
    y = mixer.forward_fused(x, norm, adds)
    x = y if adds else x + drop_path(y)
    y = norm_swiglu(x, mlp_norm.weight, bias_of(mlp_norm), gate_weight, down_weight, mlp_norm.eps or 0.0, adds)
    return y if adds else x + drop_path(y)


class Block(nn.Module):
    """(batch, rows, columns, dim) to the same."""

    def __init__(self, config: ViGConfig, layer: int) -> None:
        super().__init__()
        dim = config.embed_dim
        self.attn_norm = RMSNorm(dim, eps=RMS_EPS)
        self.attn = MIXERS[config.mixer](dim, config.num_heads, act=config.act, halve_in_eval=True)
        self.mlp_norm = RMSNorm(dim, eps=RMS_EPS)
        self.mlp = SwiGLU(dim, swiglu_dim(dim, multiple=256))
        self.drop_path = DropPath(config.drop_path(layer))

    def forward(self, x: Tensor) -> Tensor:
        if fuses_block(self.attn.implementation, x):
            mlp = self.mlp.gate_proj.weight, self.mlp.down_proj.weight
            return fused_block(x, self.attn, self.attn_norm, self.mlp_norm, *mlp, self.drop_path)
        x = x + self.drop_path(self.attn(self.attn_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))  # type: ignore[no-any-return]


class PatchEmbed(nn.Module):
    """Two convolutions of total stride 16: (batch, in_chans, height, width) to (batch, rows, columns, dim)."""

    def __init__(self, config: ViGConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.proj = nn.Sequential(
            nn.Conv2d(config.in_chans, dim // 2, 9, stride=8, padding=1),
            LayerNorm2d(dim // 2),
            nn.SiLU(),
            nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1),
            LayerNorm2d(dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).permute(0, 2, 3, 1)  # type: ignore[no-any-return]

    def forward_fused(self, x: Tensor) -> Tensor:
        """The same, the first convolution and what follows it in one kernel, all else channels-last."""
        conv, norm = cast("nn.Conv2d", self.proj[0]), cast("LayerNorm2d", self.proj[1])
        assert conv.bias is not None
        stride, padding = conv.stride[0], cast("int", conv.padding[0])
        x = conv_norm(x, conv.weight, conv.bias, norm.weight, norm.bias, stride, padding, norm.eps)
        return self.proj[3:](x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class ViG(PlainBackbone):
    """Any input size its stem accepts; position embeddings are resized to the grid of tokens."""

    fuses_blocks = True
    first_conv = "patch_embed.proj.0"
    blocks_path = "blocks"
    init_matrix = staticmethod(nn.init.normal_)

    def __init__(self, config: ViGConfig) -> None:
        if config.mixer not in MIXERS:
            raise ValueError(f"mixer {config.mixer!r} is none of ViG's: choose {one_of(MIXERS)}")
        super().__init__(config)
        self.operator = MIXERS[config.mixer].operator
        self.pos_embed = nn.Parameter(torch.zeros(1, POS_GRID**2, config.embed_dim))
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.depth))
        self.norm = RMSNorm(config.embed_dim, eps=RMS_EPS)
        self.head_drop = nn.Dropout(config.drop_rate)
        self.head = linear_head(config.embed_dim, config.num_classes)
        self.init_weights()

    def init_weights(self) -> None:
        """The released initialisation."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.apply(self.init_linear)
        for module in self.modules():
            if isinstance(module, GatedLinearAttention2d):
                module.init_weights()

    def embed(self, images: Tensor) -> Tensor:
        """Tokens on their grid, (batch, rows, columns, embed_dim)."""
        if fuses_block(self.implementation, self.pos_embed):
            x = self.patch_embed.forward_fused(images)
            return x + self.kept_pos_embed(x.shape[1], x.shape[2], x.dtype)
        x = self.patch_embed(images)
        return x + self.resized_pos_embed(x.shape[1], x.shape[2]).to(x.dtype)  # type: ignore[no-any-return]

    def resized_pos_embed(self, rows: int, columns: int) -> Tensor:
        return resize_grid(self.pos_embed, rows, columns, torch.float32)  # as released, whatever the precision


CONFIGS = {
    "vig_tiny_patch16_224": ViGConfig(embed_dim=192, num_heads=3, act=True),
    "vig_small_patch16_224": ViGConfig(embed_dim=384, num_heads=6),
    "vig_base_patch16_224": ViGConfig(embed_dim=768, num_heads=12),
}
default_cfgs = timm_cfgs(ViG, CONFIGS)


@register_model
def vig_tiny_patch16_224(pretrained: bool = False, **kwargs: Any) -> ViG:
    """ViG-T: 5.8 M parameters, 1.20 GMACs at 224."""
    return create(ViG, CONFIGS, "vig_tiny_patch16_224", pretrained, **kwargs)


@register_model
def vig_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> ViG:
    """ViG-S: 22.6 M parameters."""
    return create(ViG, CONFIGS, "vig_small_patch16_224", pretrained, **kwargs)


@register_model
def vig_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> ViG:
    """ViG-B: 89.0 M parameters."""
    return create(ViG, CONFIGS, "vig_base_patch16_224", pretrained, **kwargs)
