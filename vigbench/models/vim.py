"""Vim, a plain vision backbone on selective scans in both directions (arXiv 2401.09417), as released (hustvl/Vim)."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.models import build_model_with_cfg, checkpoint, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from vigbench.models.backbone import Backbone, Pool, default_cfg
from vigbench.models.layers import RMSNorm, TokenMixer, linear_head
from vigbench.ops.causal_conv import FUSED_WITH, bidirectional_causal_conv
from vigbench.ops.scan import bidirectional_selective_scan, selected_implementation

PATCH_SIZE = 16
POS_GRID = 14  # tokens a side at 224
NORM_EPS = 1e-5
EXPAND, STATE, TAPS = 2, 16, 4
STEP_RANGE = (1e-3, 1e-1)  # of the forward direction, at initialisation


class BidirectionalMamba(TokenMixer):
    """(batch, tokens, dim) to the same (arXiv 2401.09417, algorithm 1); in_proj and out_proj serve both directions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner, rank = EXPAND * dim, math.ceil(dim / 16)
        self.rank = rank
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.A_log, self.A_b_log = (nn.Parameter(torch.empty(inner, STATE)) for _ in range(2))
        self.D, self.D_b = (nn.Parameter(torch.empty(inner)) for _ in range(2))
        self.conv1d, self.conv1d_b = (nn.Conv1d(inner, inner, TAPS, groups=inner) for _ in range(2))
        self.x_proj, self.x_proj_b = (nn.Linear(inner, rank + 2 * STATE, bias=False) for _ in range(2))
        self.dt_proj, self.dt_proj_b = (nn.Linear(rank, inner) for _ in range(2))
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        implementation = selected_implementation(self.implementation, h, self.in_proj.weight)
        first = implementation == "mamba_ssm"  # its kernel wants channels before tokens in memory
        x, z = self._linear(h, self.in_proj.weight, first).chunk(2, dim=-1)
        u = bidirectional_causal_conv(
            x,
            torch.stack([self.conv1d.weight, self.conv1d_b.weight]).squeeze(2),
            torch.stack([self.conv1d.bias, self.conv1d_b.bias]),  # type: ignore[list-item]
            fused=implementation in FUSED_WITH,
            channels_first=first,
        )
        low_rank, B, C = torch.matmul(u, self._both(self.x_proj.weight, self.x_proj_b.weight).mT).split(
            (self.rank, STATE, STATE), dim=-1
        )
        A_log, D, bias = (
            torch.stack(pair).to(torch.promote_types(pair[0].dtype, torch.float32))
            for pair in ((self.A_log, self.A_b_log), (self.D, self.D_b), (self.dt_proj.bias, self.dt_proj_b.bias))
        )
        y = bidirectional_selective_scan(
            u,
            self._linear(low_rank, self._both(self.dt_proj.weight, self.dt_proj_b.weight), first),
            -A_log.exp(),
            B,
            C,
            D,
            z,
            delta_bias=bias,
            delta_softplus=True,
            implementation=implementation,
        )
        return self.out_proj(y)  # type: ignore[no-any-return]

    @staticmethod
    def _linear(x: Tensor, weight: Tensor, channels_first: bool) -> Tensor:
        """x @ weight^T, with the channels before the tokens in memory if `channels_first`."""
        return torch.matmul(weight, x.mT).mT if channels_first else torch.matmul(x, weight.mT)

    @staticmethod
    def _both(forward: Tensor, backward: Tensor) -> Tensor:
        """Weights of both directions, (2, 1, out, in): one product for the whole batch of each."""
        return torch.stack([forward, backward]).unsqueeze(1)

    def init_weights(self, depth: int) -> None:
        """The released initialisation; the backward direction's steps start at softplus(0), as they do there."""
        nn.init.kaiming_uniform_(self.out_proj.weight, a=math.sqrt(5))
        low, high = (math.log(step) for step in STEP_RANGE)
        with torch.no_grad():
            self.out_proj.weight /= math.sqrt(depth)
            for A_log, D in ((self.A_log, self.D), (self.A_b_log, self.D_b)):
                A_log.copy_(torch.arange(1, STATE + 1, dtype=torch.float32).log().expand_as(A_log))
                D.fill_(1)
            nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
            step = torch.empty_like(self.dt_proj.bias).uniform_(low, high).exp()
            self.dt_proj.bias.copy_(step + (-torch.expm1(-step)).log())  # the inverse of softplus
            self.dt_proj_b.bias.zero_()


class Block(nn.Module):
    """Adds its input to the stream, and mixes the stream's norm: (mixed, stream) to the same. There is no MLP."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.mixer = BidirectionalMamba(dim)
        self.norm = RMSNorm(dim, eps=NORM_EPS)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, h: Tensor, stream: Tensor | None) -> tuple[Tensor, Tensor]:
        stream = add_to(stream, h)
        return self.drop_path(self.mixer(self.norm(stream).to(h.dtype))), stream


def add_to(stream: Tensor | None, h: Tensor) -> Tensor:
    """The residual stream, which is kept in float32 whatever the precision of the layers."""
    h = h.to(torch.promote_types(h.dtype, torch.float32))
    return h if stream is None else stream + h


class PatchEmbed(nn.Module):
    """(batch, in_chans, height, width) to (batch, dim, rows, columns)."""

    def __init__(self, in_chans: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, dim, PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)  # type: ignore[no-any-return]


class Vim(Backbone):
    """Any input size: position embeddings are resized around the class token's own, which stays in the middle."""

    operator = "scan"

    def __init__(
        self,
        embed_dim: int = 192,
        depth: int = 24,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: Pool = "token",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(embed_dim, num_classes, in_chans, global_pool)
        self.embed_dim = embed_dim
        self.feature_info = [
            {"num_chs": embed_dim, "reduction": PATCH_SIZE, "module": f"layers.{i}"} for i in range(depth)
        ]
        self.patch_embed = PatchEmbed(in_chans, embed_dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, POS_GRID**2 + 1, embed_dim))
        rates = [drop_path_rate * i / max(1, depth - 1) for i in range(depth)]
        self.layers = nn.ModuleList([Block(embed_dim, rate) for rate in rates])
        self.norm_f = RMSNorm(embed_dim, eps=NORM_EPS)
        self.head_drop = nn.Dropout(drop_rate)
        self.head = linear_head(embed_dim, num_classes)
        self.init_weights()

    def init_weights(self) -> None:
        """The released initialisation."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        fan_in = self.patch_embed.proj.weight[0].numel()
        nn.init.trunc_normal_(self.patch_embed.proj.weight, std=fan_in**-0.5 / 0.8796)  # LeCun's, truncated at 2 sigma
        assert self.patch_embed.proj.bias is not None
        nn.init.zeros_(self.patch_embed.proj.bias)
        _init_head(self.head)
        for module in self.modules():
            if isinstance(module, BidirectionalMamba):
                module.init_weights(len(self.layers))

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalised tokens, (batch, tokens + 1, embed_dim): the class token is in the middle, at tokens // 2."""
        h, stream = self._embed(x), None
        for layer in self.layers:
            h, stream = self.run_layer(layer, h, stream)
        return self.norm_f(add_to(stream, h)).to(h.dtype)  # type: ignore[no-any-return]

    def run_layer(self, layer: nn.Module, h: Tensor, stream: Tensor | None) -> tuple[Tensor, Tensor]:
        """One block, recomputed in the backward if gradient checkpointing is on."""
        if self.grad_checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, h, stream)  # type: ignore[no-any-return]
        return layer(h, stream)  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.head_drop(x[:, (x.shape[1] - 1) // 2] if self.global_pool == "token" else x)
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
        """Patch tokens after chosen blocks as NCHW or NLC, after the final tokens unless `intermediates_only`."""
        if output_fmt not in ("NCHW", "NLC"):
            raise ValueError(f"unknown output_fmt {output_fmt!r}: choose NCHW or NLC")
        chosen, last = feature_take_indices(len(self.layers), indices)
        rows, columns = (side // PATCH_SIZE for side in x.shape[-2:])
        intermediates = []
        h, stream = self._embed(x), None
        for i, layer in enumerate(self.layers[: last + 1] if stop_early else self.layers):
            h, stream = self.run_layer(layer, h, stream)
            if i in chosen:
                y = add_to(stream, h)
                patches = without_class((self.norm_f(y) if norm else y).to(h.dtype))
                intermediates.append(patches.mT.unflatten(-1, (rows, columns)) if output_fmt == "NCHW" else patches)
        return intermediates if intermediates_only else (self.norm_f(add_to(stream, h)).to(h.dtype), intermediates)

    def _embed(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        rows, columns = x.shape[-2:]
        x = x.flatten(2).mT
        middle = x.shape[1] // 2
        x = torch.cat([x[:, :middle], self.cls_token.expand(x.shape[0], -1, -1), x[:, middle:]], dim=1)
        return x + self._pos_embed(rows, columns)

    def _pos_embed(self, rows: int, columns: int) -> Tensor:
        if (rows, columns) == (POS_GRID, POS_GRID):
            return self.pos_embed
        own = self.pos_embed[:, POS_GRID**2 // 2].unsqueeze(1)
        grid = without_class(self.pos_embed).mT.unflatten(-1, (POS_GRID, POS_GRID))
        grid = F.interpolate(grid, (rows, columns), mode="bicubic", align_corners=False)
        patches, middle = grid.flatten(2).mT, rows * columns // 2
        return torch.cat([patches[:, :middle], own, patches[:, middle:]], dim=1)

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: Pool | None = None) -> None:
        """Replace the last layer; none for 0 classes."""
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.head = linear_head(self.embed_dim, num_classes, like=self.pos_embed)
        _init_head(self.head)

    def no_weight_decay(self) -> set[str]:
        """Parameters an optimizer should not decay."""
        return {"pos_embed", "cls_token"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: ARG002  timm's signature
        """Parameter groups by depth, for layer-wise learning rates."""
        return {
            "stem": r"^cls_token|^pos_embed|^patch_embed",
            "blocks": [(r"^layers\.(\d+)", None), (r"^norm_f", (99999,))],
        }


def without_class(x: Tensor) -> Tensor:
    """Tokens without the class token in their middle."""
    middle = (x.shape[1] - 1) // 2
    return torch.cat([x[:, :middle], x[:, middle + 1 :]], dim=1)


def _init_head(head: nn.Module) -> None:
    if isinstance(head, nn.Linear):
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)


SETTINGS: dict[str, dict[str, Any]] = {
    "vim_tiny_patch16_224": {"embed_dim": 192},
    "vim_small_patch16_224": {"embed_dim": 384},
    "vim_base_patch16_224": {"embed_dim": 768},
}

default_cfgs = generate_default_cfgs(
    {name: default_cfg(first_conv="patch_embed.proj", classifier="head") for name in SETTINGS}
)


def _create(name: str, pretrained: bool, **kwargs: Any) -> Vim:
    feature_cfg = {"out_indices": 4, "feature_cls": "getter"}
    settings = {**SETTINGS[name], **kwargs}
    model: Vim = build_model_with_cfg(Vim, name, pretrained, feature_cfg=feature_cfg, **settings)
    return model


@register_model
def vim_tiny_patch16_224(pretrained: bool = False, **kwargs: Any) -> Vim:
    """Vim-T: 7.1 M parameters, 1.53 GMACs at 224."""
    return _create("vim_tiny_patch16_224", pretrained, **kwargs)


@register_model
def vim_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> Vim:
    """Vim-S: 25.8 M parameters."""
    return _create("vim_small_patch16_224", pretrained, **kwargs)


@register_model
def vim_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> Vim:
    """Vim-B: 97.6 M parameters."""
    return _create("vim_base_patch16_224", pretrained, **kwargs)
