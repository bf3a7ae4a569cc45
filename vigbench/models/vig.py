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

from vigbench.models.backbone import (
    POS_GRID,
    PlainBackbone,
    PlainConfig,
    RMSNorm,
    linear_head,
    resize_grid,
    timm_cfgs,
)
from vigbench.models.model import TokenMixer, create
from vigbench.ops.conv_norm import conv_norm
from vigbench.ops.gated_norm import FUSED_WITH, gated_norm
from vigbench.ops.gated_projection import gated_projection
from vigbench.ops.gla import bidirectional_gla_low_rank, fuses_block, selected_implementation
from vigbench.ops.norm_conv import norm_conv
from vigbench.ops.norm_swiglu import norm_swiglu

RMS_EPS = 1e-6
GATE_LOGIT_NORMALIZER = 16.0
GATE_RANK = 16
RELEASED_GAIN = 2**-2.5
Norm = nn.RMSNorm | nn.LayerNorm


@dataclass(frozen=True, kw_only=True)
class ViGConfig(PlainConfig):
    num_heads: int = 3
    act: bool = False  # of the mixers


def bias_of(norm: Norm) -> Tensor | None:
    """LayerNorm's."""
    return norm.bias if isinstance(norm, nn.LayerNorm) else None


class GatedLinearAttention2d(TokenMixer):
    """ViG's mixer (arXiv 2405.18425, section 3): depthwise 3x3, bidirectional GLA on its result, the two gated.

    Input and output are (batch, height, width, dim). `act` puts SiLU after the convolution and before the output
    projection. `halve_in_eval` repeats a quirk of the released plain ViG, whose eval mode halves the output twice.
    """

    def __init__(
        self, dim: int, num_heads: int, *, act: bool = False, halve_in_eval: bool = False, eps: float = RMS_EPS
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.eps = eps
        self.act = act
        self.key_dim = dim // 2
        self.scale = (self.key_dim // num_heads) ** -0.5
        self.halve_in_eval = halve_in_eval
        self.in_proj = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False), nn.SiLU() if act else nn.Identity()
        )
        self.qkv_proj = nn.Linear(dim, 2 * self.key_dim + dim, bias=False)
        self.gk_proj = nn.Sequential(nn.Linear(dim, GATE_RANK, bias=False), nn.Linear(GATE_RANK, 2 * self.key_dim))
        self.g_proj = nn.Linear(dim, dim)
        self.g_norm = RMSNorm(dim // num_heads, eps=eps)
        self.l_norm = RMSNorm(dim // num_heads, eps=eps)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        local = self.in_proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1, 2)
        q, k, v = self.qkv_proj(local).split((self.key_dim, self.key_dim, local.shape[-1]), dim=-1)
        o, implementation = self._attend(q, k, v, self.gk_proj[0](local))
        o = gated_norm(
            o,
            self._heads(local),
            self._heads(self.g_proj(local)),
            self.g_norm.weight,
            self.l_norm.weight,
            self.eps,
            self.act,
            fused=implementation in FUSED_WITH,
        )
        return self.o_proj(o.flatten(-2)).view(x.shape)  # type: ignore[no-any-return]

    def forward_fused(self, x: Tensor, norm: Norm, residual: bool) -> Tensor:
        """self(norm(x)), and x added with `residual`, by kernels that take more than one step at once."""
        conv = cast("nn.Conv2d", self.in_proj[0])
        local = norm_conv(x, norm.weight, bias_of(norm), conv.weight, norm.eps or 0.0, self.act).flatten(1, 2)
        layers = (self.qkv_proj, cast("nn.Linear", self.gk_proj[0]), self.g_proj)
        projected = F.linear(local, torch.cat([layer.weight for layer in layers]))  # one product for all of them
        q, k, v, low_rank, gate = projected.split((self.key_dim, self.key_dim, x.shape[-1], GATE_RANK, x.shape[-1]), -1)
        o, _ = self._attend(q, k, v, low_rank)
        return gated_projection(
            o,
            self._heads(local),
            self._heads(gate),
            self.g_proj.bias,
            self.g_norm.weight,
            self.l_norm.weight,
            self.o_proj.weight,
            x.flatten(1, 2) if residual else None,
            self.eps,
            self.act,
        ).view(x.shape)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, low_rank: Tensor) -> tuple[Tensor, str]:
        """The operator's output, (batch, tokens, heads, head_dim), and the code that computed it."""
        q, k, v = (self._heads(y) for y in (q, k, v))
        logits = cast("nn.Linear", self.gk_proj[1])
        gates = (  # both directions' logits are computed where the implementation wants them
            low_rank,
            logits.weight.view(2, self.num_heads, -1, GATE_RANK),
            logits.bias.view(2, self.num_heads, -1),
        )
        scale = self.scale / 2 if self.halve_in_eval and not self.training else self.scale
        implementation = selected_implementation(self.implementation, q, k, v, *gates)
        o = bidirectional_gla_low_rank(q, k, v, *gates, GATE_LOGIT_NORMALIZER, scale, implementation)
        return o, implementation

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads)

    def init_weights(self) -> None:
        """The released initialisation."""
        for layer in (self.qkv_proj, self.in_proj[0], self.g_proj, self.o_proj, *self.gk_proj):
            nn.init.xavier_uniform_(layer.weight, gain=RELEASED_GAIN)


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
        self.attn = GatedLinearAttention2d(dim, config.num_heads, act=config.act, halve_in_eval=True)
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
        super().__init__(config)
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
