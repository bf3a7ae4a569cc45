"""Vision-RWKV, a plain vision backbone on Bi-WKV (arXiv 2403.02308), as released (OpenGVLab/Vision-RWKV).

Its operator follows the paper's formula, which the released CUDA kernel does not quite compute.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.models import register_model
from torch import Tensor, nn

from vigbench.models.backbone import (
    PATCH_SIZE,
    POS_GRID,
    PlainBackbone,
    PlainConfig,
    linear_head,
    timm_cfgs,
)
from vigbench.models.model import TokenMixer, create
from vigbench.ops.biwkv import bi_wkv

HIDDEN_RATE = 4


@dataclass(frozen=True, kw_only=True)
class VRWKVConfig(PlainConfig):
    """`embed_dim` is a multiple of 4 (ValueError), for the quarters of channels that are shifted."""

    layer_scale: float | None = None  # norms come after the mixers, followed by factors that start at this value

    def __post_init__(self) -> None:
        if self.embed_dim % 4:
            raise ValueError(f"embed_dim is {self.embed_dim}: make it a multiple of 4, for q_shift")


def q_shift(x: Tensor) -> Tensor:
    """Of (batch, rows, columns, dim) a quarter of the channels each from the left, right, upper and lower neighbour."""
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    left, right, up, down = padded.chunk(4, dim=-1)
    return torch.cat((left[:, 1:-1, :-2], right[:, 1:-1, 2:], up[:, :-2, 1:-1], down[:, 2:, 1:-1]), dim=-1)


def mix(x: Tensor, shifted: Tensor, share: Tensor) -> Tensor:
    """`share` of each token, the rest from its neighbours."""
    return shifted + (x - shifted) * share


class SpatialMix(TokenMixer):
    """Bi-WKV of keys and values, gated: (batch, rows, columns, dim) to the same."""

    def __init__(self, config: VRWKVConfig, layer: int) -> None:
        super().__init__()
        dim, depth = config.embed_dim, config.depth
        ascent, descent = layer / max(1, depth - 1), 1 - layer / depth
        channel = torch.arange(dim)
        fraction = (channel / dim).view(1, 1, dim)
        slope = (channel / max(1, dim - 1)) ** (0.7 + 1.3 * ascent)
        self.spatial_decay = nn.Parameter(8 * slope - 5)
        self.spatial_first = nn.Parameter(torch.log(torch.full((dim,), 0.3)) + 0.5 * ((channel + 1) % 3 - 1))
        self.spatial_mix_k = nn.Parameter(fraction**descent)
        self.spatial_mix_v = nn.Parameter(fraction**descent + 0.3 * ascent)
        self.spatial_mix_r = nn.Parameter(fraction ** (0.5 * descent))
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.receptance = nn.Linear(dim, dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        shifted = q_shift(x)
        k = self.key(mix(x, shifted, self.spatial_mix_k)).flatten(1, 2)
        v = self.value(mix(x, shifted, self.spatial_mix_v)).flatten(1, 2)
        r = self.receptance(mix(x, shifted, self.spatial_mix_r))
        tokens = k.shape[1]
        y = bi_wkv(self.spatial_decay / tokens, self.spatial_first / tokens, k, v, self.implementation)
        return self.output(torch.sigmoid(r) * y.view(r.shape))  # type: ignore[no-any-return]


class ChannelMix(nn.Module):
    """A gated MLP with the square of a ReLU: (batch, rows, columns, dim) to the same."""

    def __init__(self, config: VRWKVConfig, layer: int) -> None:
        super().__init__()
        dim = config.embed_dim
        share = (torch.arange(dim) / dim).view(1, 1, dim) ** (1 - layer / config.depth)
        self.spatial_mix_k = nn.Parameter(share)
        self.spatial_mix_r = nn.Parameter(share.clone())
        self.key = nn.Linear(dim, HIDDEN_RATE * dim, bias=False)
        self.receptance = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(HIDDEN_RATE * dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        shifted = q_shift(x)
        k = torch.relu(self.key(mix(x, shifted, self.spatial_mix_k))).square()
        r = self.receptance(mix(x, shifted, self.spatial_mix_r))
        return torch.sigmoid(r) * self.value(k)  # type: ignore[no-any-return]


class Block(nn.Module):
    """(batch, rows, columns, dim) to the same. Norms come before the mixers, or with `layer_scale` after them."""

    def __init__(self, config: VRWKVConfig, layer: int) -> None:
        super().__init__()
        dim, layer_scale = config.embed_dim, config.layer_scale
        self.ln0 = nn.LayerNorm(dim) if layer == 0 else nn.Identity()
        self.ln1 = nn.LayerNorm(dim)
        self.ln2 = nn.LayerNorm(dim)
        self.att = SpatialMix(config, layer)
        self.ffn = ChannelMix(config, layer)
        self.post_norm = layer_scale is not None
        if layer_scale is not None:
            self.gamma1 = nn.Parameter(torch.full((dim,), layer_scale))
            self.gamma2 = nn.Parameter(torch.full((dim,), layer_scale))
        self.drop_path = DropPath(config.drop_path(layer))

    def forward(self, x: Tensor) -> Tensor:
        x = self.ln0(x)
        if self.post_norm:
            x = x + self.drop_path(self.gamma1 * self.ln1(self.att(x)))
            return x + self.drop_path(self.gamma2 * self.ln2(self.ffn(x)))  # type: ignore[no-any-return]
        x = x + self.drop_path(self.att(self.ln1(x)))
        return x + self.drop_path(self.ffn(self.ln2(x)))  # type: ignore[no-any-return]


class PatchEmbed(nn.Module):
    """(batch, in_chans, height, width) to (batch, rows, columns, dim); zeros fill the last patches."""

    def __init__(self, config: VRWKVConfig) -> None:
        super().__init__()
        self.projection = nn.Conv2d(config.in_chans, config.embed_dim, PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        padding = (0, -x.shape[3] % PATCH_SIZE, 0, -x.shape[2] % PATCH_SIZE)
        x = F.pad(x, padding) if any(padding) else x
        return self.projection(x).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class VisionRWKV(PlainBackbone):
    """Any input size; position embeddings are resized to the grid of tokens."""

    operator = "biwkv"
    first_conv = "patch_embed.projection"
    norm_path = "ln1"

    def __init__(self, config: VRWKVConfig) -> None:
        super().__init__(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, POS_GRID**2, config.embed_dim))
        self.patch_embed = PatchEmbed(config)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.depth))
        self.ln1 = nn.LayerNorm(config.embed_dim)
        self.head_drop = nn.Dropout(config.drop_rate)
        self.head = linear_head(config.embed_dim, config.num_classes)
        self.apply(self.init_linear)  # the rest of the released initialisation stands where the parameters are made

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Also takes the keys of released checkpoints, which `timm.create_model(checkpoint_path=...)` does not map."""
        return super().load_state_dict(checkpoint_filter_fn(state_dict, self), strict, assign)

    def embed(self, images: Tensor) -> Tensor:
        """Tokens on their grid, (batch, rows, columns, embed_dim)."""
        x = self.patch_embed(images)
        return x + self.resized_pos_embed(x.shape[1], x.shape[2]).to(x.dtype)  # type: ignore[no-any-return]


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:  # noqa: ARG001  timm's
    """Released keys, `backbone.*` and `head.fc.*`, as this model names them; its own stay as they are."""
    return {key.removeprefix("backbone.").replace("head.fc.", "head."): x for key, x in state_dict.items()}


CONFIGS = {
    "vrwkv_tiny_patch16_224": VRWKVConfig(embed_dim=192),
    "vrwkv_small_patch16_224": VRWKVConfig(embed_dim=384, layer_scale=1.0),
    "vrwkv_base_patch16_224": VRWKVConfig(embed_dim=768, layer_scale=1e-5),
}
default_cfgs = timm_cfgs(VisionRWKV, CONFIGS)


@register_model
def vrwkv_tiny_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionRWKV:
    """Vision-RWKV-T: 6.2 M parameters, 1.16 GMACs at 224."""
    return create(VisionRWKV, CONFIGS, "vrwkv_tiny_patch16_224", pretrained, **kwargs)


@register_model
def vrwkv_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionRWKV:
    """Vision-RWKV-S: 23.8 M parameters."""
    return create(VisionRWKV, CONFIGS, "vrwkv_small_patch16_224", pretrained, **kwargs)


@register_model
def vrwkv_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionRWKV:
    """Vision-RWKV-B: 93.6 M parameters."""
    return create(VisionRWKV, CONFIGS, "vrwkv_base_patch16_224", pretrained, **kwargs)
