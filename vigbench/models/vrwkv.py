"""Vision-RWKV, a plain vision backbone on Bi-WKV (arXiv 2403.02308), as released (OpenGVLab/Vision-RWKV).

Its operator follows the paper's formula, which the released CUDA kernel does not quite compute.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from vigbench.models.backbone import Backbone, Pool, default_cfg
from vigbench.models.layers import TokenMixer, linear_head
from vigbench.ops.biwkv import bi_wkv

PATCH_SIZE = 16
POS_GRID = 14  # tokens a side at 224
HIDDEN_RATE = 4


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

    def __init__(self, dim: int, layer: int, depth: int) -> None:
        super().__init__()
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

    def __init__(self, dim: int, layer: int, depth: int) -> None:
        super().__init__()
        share = (torch.arange(dim) / dim).view(1, 1, dim) ** (1 - layer / depth)
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

    def __init__(self, dim: int, layer: int, depth: int, layer_scale: float | None, drop_path: float) -> None:
        super().__init__()
        self.ln0 = nn.LayerNorm(dim) if layer == 0 else nn.Identity()
        self.ln1 = nn.LayerNorm(dim)
        self.ln2 = nn.LayerNorm(dim)
        self.att = SpatialMix(dim, layer, depth)
        self.ffn = ChannelMix(dim, layer, depth)
        self.post_norm = layer_scale is not None
        if layer_scale is not None:
            self.gamma1 = nn.Parameter(torch.full((dim,), layer_scale))
            self.gamma2 = nn.Parameter(torch.full((dim,), layer_scale))
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.ln0(x)
        if self.post_norm:
            x = x + self.drop_path(self.gamma1 * self.ln1(self.att(x)))
            return x + self.drop_path(self.gamma2 * self.ln2(self.ffn(x)))  # type: ignore[no-any-return]
        x = x + self.drop_path(self.att(self.ln1(x)))
        return x + self.drop_path(self.ffn(self.ln2(x)))  # type: ignore[no-any-return]


class PatchEmbed(nn.Module):
    """(batch, in_chans, height, width) to (batch, rows, columns, dim); zeros fill the last patches."""

    def __init__(self, in_chans: int, dim: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_chans, dim, PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        padding = (0, -x.shape[3] % PATCH_SIZE, 0, -x.shape[2] % PATCH_SIZE)
        x = F.pad(x, padding) if any(padding) else x
        return self.projection(x).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class VisionRWKV(Backbone):
    """Any input size; position embeddings are resized to the grid of tokens.

    `layer_scale` puts norms after the mixers, followed by factors that start at this value. `embed_dim` is a multiple
    of 4 (ValueError), for the quarters of channels that are shifted.
    """

    operator = "biwkv"

    def __init__(
        self,
        embed_dim: int = 192,
        depth: int = 12,
        layer_scale: float | None = None,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: Pool = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        if embed_dim % 4:
            raise ValueError(f"embed_dim is {embed_dim}: make it a multiple of 4, for q_shift")
        super().__init__(embed_dim, num_classes, in_chans, global_pool)
        self.embed_dim = embed_dim
        self.feature_info = [
            {"num_chs": embed_dim, "reduction": PATCH_SIZE, "module": f"layers.{i}"} for i in range(depth)
        ]
        drop_paths = [drop_path_rate * i / max(1, depth - 1) for i in range(depth)]
        self.pos_embed = nn.Parameter(torch.zeros(1, POS_GRID**2, embed_dim))
        self.patch_embed = PatchEmbed(in_chans, embed_dim)
        self.layers = nn.ModuleList(
            [Block(embed_dim, i, depth, layer_scale, rate) for i, rate in enumerate(drop_paths)]
        )
        self.ln1 = nn.LayerNorm(embed_dim)
        self.head_drop = nn.Dropout(drop_rate)
        self.head = linear_head(embed_dim, num_classes)
        self.apply(_init_linear)  # the rest of the released initialisation stands where the parameters are made

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Also takes the keys of released checkpoints, which `timm.create_model(checkpoint_path=...)` does not map."""
        return super().load_state_dict(checkpoint_filter_fn(state_dict, self), strict, assign)

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalised tokens in raster order, (batch, rows * columns, embed_dim)."""
        x = self._embed(x)
        for block in self.layers:
            x = self.run_block(block, x)
        return self.ln1(x).flatten(1, 2)  # type: ignore[no-any-return]

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
        chosen, last = feature_take_indices(len(self.layers), indices)
        intermediates = []
        x = self._embed(x)
        for i, block in enumerate(self.layers[: last + 1] if stop_early else self.layers):
            x = self.run_block(block, x)
            if i in chosen:
                y = self.ln1(x) if norm else x
                intermediates.append(y.permute(0, 3, 1, 2) if output_fmt == "NCHW" else y.flatten(1, 2))
        return intermediates if intermediates_only else (self.ln1(x).flatten(1, 2), intermediates)

    def _embed(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        return x + self._pos_embed(x.shape[1], x.shape[2]).to(x.dtype)

    def _pos_embed(self, rows: int, columns: int) -> Tensor:
        pos_embed = self.pos_embed.view(1, POS_GRID, POS_GRID, self.embed_dim)
        if (rows, columns) == (POS_GRID, POS_GRID):
            return pos_embed
        pos_embed = F.interpolate(pos_embed.permute(0, 3, 1, 2), (rows, columns), mode="bicubic", align_corners=False)
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
        return {"stem": r"^pos_embed|^patch_embed", "blocks": [(r"^layers\.(\d+)", None), (r"^ln1", (99999,))]}


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:  # noqa: ARG001  timm's
    """Released keys, `backbone.*` and `head.fc.*`, as this model names them; its own stay as they are."""
    return {key.removeprefix("backbone.").replace("head.fc.", "head."): x for key, x in state_dict.items()}


SETTINGS: dict[str, dict[str, Any]] = {
    "vrwkv_tiny_patch16_224": {"embed_dim": 192},
    "vrwkv_small_patch16_224": {"embed_dim": 384, "layer_scale": 1.0},
    "vrwkv_base_patch16_224": {"embed_dim": 768, "layer_scale": 1e-5},
}

default_cfgs = generate_default_cfgs(
    {name: default_cfg(first_conv="patch_embed.projection", classifier="head") for name in SETTINGS}
)


def _create(name: str, pretrained: bool, **kwargs: Any) -> VisionRWKV:
    feature_cfg = {"out_indices": 4, "feature_cls": "getter"}
    settings = {**SETTINGS[name], **kwargs}
    model: VisionRWKV = build_model_with_cfg(VisionRWKV, name, pretrained, feature_cfg=feature_cfg, **settings)
    return model


@register_model
def vrwkv_tiny_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionRWKV:
    """Vision-RWKV-T: 6.2 M parameters, 1.16 GMACs at 224."""
    return _create("vrwkv_tiny_patch16_224", pretrained, **kwargs)


@register_model
def vrwkv_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionRWKV:
    """Vision-RWKV-S: 23.8 M parameters."""
    return _create("vrwkv_small_patch16_224", pretrained, **kwargs)


@register_model
def vrwkv_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionRWKV:
    """Vision-RWKV-B: 93.6 M parameters."""
    return _create("vrwkv_base_patch16_224", pretrained, **kwargs)
