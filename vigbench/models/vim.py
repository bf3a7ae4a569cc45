"""Vim, a plain vision backbone on selective scans in both directions (arXiv 2401.09417), as released (hustvl/Vim)."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers.drop import DropPath
from timm.models import register_model
from torch import Tensor, nn

from vigbench.models.backbone import (
    PATCH_SIZE,
    POS_GRID,
    PlainBackbone,
    PlainConfig,
    Pool,
    linear_head,
    resize_grid,
    timm_cfgs,
)
from vigbench.models.model import RMSNorm, TokenMixer, create
from vigbench.ops.causal_conv import FUSED_WITH, bidirectional_causal_conv
from vigbench.ops.scan import bidirectional_selective_scan, selected_implementation

NORM_EPS = 1e-5
EXPAND, STATE, TAPS = 2, 16, 4
STEP_RANGE = (1e-3, 1e-1)  # of the forward direction, at initialisation


@dataclass(frozen=True, kw_only=True)
class VimConfig(PlainConfig):
    depth: int = 24
    global_pool: Pool = "token"


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
    """(batch, tokens, dim) to the same: adds what it mixes of the stream's norm to the stream. There is no MLP.

    The stream is kept in float32 whatever the precision of the layers.
    """

    def __init__(self, config: VimConfig, layer: int) -> None:
        super().__init__()
        self.mixer = BidirectionalMamba(config.embed_dim)
        self.norm = RMSNorm(config.embed_dim, eps=NORM_EPS)
        self.drop_path = DropPath(config.drop_path(layer))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.mixer(self.norm(x).to(self.norm.weight.dtype)))  # type: ignore[no-any-return]


class PatchEmbed(nn.Module):
    """(batch, in_chans, height, width) to (batch, dim, rows, columns)."""

    def __init__(self, config: VimConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(config.in_chans, config.embed_dim, PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)  # type: ignore[no-any-return]


class Vim(PlainBackbone):
    """Any input size: position embeddings are resized around the class token's own, which stays in the middle."""

    operator = "scan"
    first_conv = "patch_embed.proj"
    norm_path = "norm_f"

    def __init__(self, config: VimConfig) -> None:
        super().__init__(config)
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, POS_GRID**2 + 1, config.embed_dim))
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.depth))
        self.norm_f = RMSNorm(config.embed_dim, eps=NORM_EPS)
        self.head_drop = nn.Dropout(config.drop_rate)
        self.head = linear_head(config.embed_dim, config.num_classes)
        self.init_weights()

    def init_weights(self) -> None:
        """The released initialisation."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        fan_in = self.patch_embed.proj.weight[0].numel()
        nn.init.trunc_normal_(self.patch_embed.proj.weight, std=fan_in**-0.5 / 0.8796)  # LeCun's, truncated at 2 sigma
        assert self.patch_embed.proj.bias is not None
        nn.init.zeros_(self.patch_embed.proj.bias)
        self.init_linear(self.head)
        for module in self.modules():
            if isinstance(module, BidirectionalMamba):
                module.init_weights(len(self.layers))

    def embed(self, images: Tensor) -> Tensor:
        """The residual stream, (batch, tokens + 1, embed_dim): the class token is in the middle, at tokens // 2."""
        x = self.patch_embed(images)
        rows, columns = x.shape[-2:]
        x = x.flatten(2).mT
        middle = x.shape[1] // 2
        x = torch.cat([x[:, :middle], self.cls_token.expand(x.shape[0], -1, -1), x[:, middle:]], dim=1)
        x = x + self.resized_pos_embed(rows, columns)
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def resized_pos_embed(self, rows: int, columns: int) -> Tensor:
        """Position embeddings of another grid, (1, rows * columns + 1, embed_dim)."""
        if (rows, columns) == (POS_GRID, POS_GRID):
            return self.pos_embed
        own = self.pos_embed[:, POS_GRID**2 // 2].unsqueeze(1)
        patches = resize_grid(without_class(self.pos_embed), rows, columns).flatten(1, 2)
        middle = rows * columns // 2
        return torch.cat([patches[:, :middle], own, patches[:, middle:]], dim=1)

    def final_features(self, x: Tensor) -> Tensor:
        """Normalised tokens, (batch, tokens + 1, embed_dim)."""
        return self.norm_f(x).to(self.norm_f.weight.dtype)  # type: ignore[no-any-return]

    def feature_map(self, x: Tensor, images: Tensor, norm: bool) -> Tensor:
        """Output of a block for the patches alone."""
        tokens = self.final_features(x) if norm else x.to(self.norm_f.weight.dtype)
        rows, columns = (side // PATCH_SIZE for side in images.shape[-2:])
        return without_class(tokens).mT.unflatten(-1, (rows, columns))  # type: ignore[no-any-return]

    def pool(self, x: Tensor) -> Tensor:
        return x[:, (x.shape[1] - 1) // 2] if self.global_pool == "token" else x

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed", "cls_token"}


def without_class(x: Tensor) -> Tensor:
    """Tokens without the class token in their middle."""
    middle = (x.shape[1] - 1) // 2
    return torch.cat([x[:, :middle], x[:, middle + 1 :]], dim=1)


CONFIGS = {
    "vim_tiny_patch16_224": VimConfig(embed_dim=192),
    "vim_small_patch16_224": VimConfig(embed_dim=384),
    "vim_base_patch16_224": VimConfig(embed_dim=768),
}
default_cfgs = timm_cfgs(Vim, CONFIGS)


@register_model
def vim_tiny_patch16_224(pretrained: bool = False, **kwargs: Any) -> Vim:
    """Vim-T: 7.1 M parameters, 1.53 GMACs at 224."""
    return create(Vim, CONFIGS, "vim_tiny_patch16_224", pretrained, **kwargs)


@register_model
def vim_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> Vim:
    """Vim-S: 25.8 M parameters."""
    return create(Vim, CONFIGS, "vim_small_patch16_224", pretrained, **kwargs)


@register_model
def vim_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> Vim:
    """Vim-B: 97.6 M parameters."""
    return create(Vim, CONFIGS, "vim_base_patch16_224", pretrained, **kwargs)
