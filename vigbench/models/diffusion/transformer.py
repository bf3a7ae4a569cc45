"""What DiT (arXiv 2212.09748) and DiG (arXiv 2405.18428) have in common: everything but a block's inside.

Latents of an image, their timesteps and labels go in; noise and variances come out. The VAE that makes latents of
images is outside. Tokens are (batch, rows, columns, embed_dim) throughout.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from vigbench.models.diffusion.process import guided
from vigbench.models.model import Model, create

LATENT_STRIDE = 8  # px of the image for one latent
LATENT_CHANNELS = 4
FREQUENCIES = 128  # of the timestep's waves
LONGEST_PERIOD = 10000.0
NORM_EPS = 1e-6

Sides = int | tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """What can be set of every diffusion model; `img_size` is in px of the image, (height, width) or one for both."""

    img_size: Sides = 256
    patch_size: int = 2
    embed_dim: int = 384
    depth: int = 12
    num_heads: int = 6
    num_classes: int = 1000
    in_chans: int = LATENT_CHANNELS
    label_dropout: float = 0.1  # in training


def position_table(rows: int, columns: int, dim: int) -> Tensor:
    """Fixed position embeddings, (1, rows * columns, dim): sines and cosines of the column, then of the row."""
    frequency = LONGEST_PERIOD ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))

    def waves(count: int) -> Tensor:
        angles = torch.arange(count, dtype=torch.float64)[:, None] * frequency
        return torch.cat([angles.sin(), angles.cos()], 1).float()

    column = waves(columns)[None].expand(rows, -1, -1)
    row = waves(rows)[:, None].expand(-1, columns, -1)
    return torch.cat([column, row], 2).view(1, rows * columns, dim)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (1 + scale) + shift."""
    return torch.addcmul(shift, x, 1 + scale)


def plain_norm(dim: int) -> nn.LayerNorm:
    """LayerNorm without parameters: what follows scales and shifts it by the condition."""
    return nn.LayerNorm(dim, eps=NORM_EPS, elementwise_affine=False)


class PatchEmbed(nn.Module):
    """(batch, channels, height, width) to (batch, rows, columns, embed_dim)."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        patch = config.patch_size
        self.proj = nn.Conv2d(config.in_chans, config.embed_dim, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class TimestepEmbedder(nn.Module):
    """(batch,) timesteps, fractions allowed, to (batch, embed_dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, t: Tensor) -> Tensor:
        dtype = next(self.mlp.parameters()).dtype
        wide = torch.float64 if dtype == torch.float64 else torch.float32  # released: float32, off by 4e-5 at t = 999
        share = torch.arange(FREQUENCIES, dtype=wide, device=t.device) / FREQUENCIES
        angles = t[:, None].to(wide) * torch.exp(-math.log(LONGEST_PERIOD) * share)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], 1).to(dtype))  # type: ignore[no-any-return]


class LabelEmbedder(nn.Module):
    """(batch,) labels to (batch, embed_dim); the last row is no label, which training puts in by chance."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.no_label = config.num_classes
        self.dropout = config.label_dropout
        self.embedding_table = nn.Embedding(config.num_classes + 1, config.embed_dim)

    def forward(self, y: Tensor) -> Tensor:
        if self.training and self.dropout:
            y = torch.where(torch.rand(y.shape, device=y.device) < self.dropout, self.no_label, y)
        try:
            return self.embedding_table(y)  # type: ignore[no-any-return]
        except IndexError as error:  # on a CPU; CUDA asserts on the device, where a look at values would wait for it
            raise ValueError(
                f"a label is beyond the model's classes: give labels from 0 to {self.no_label - 1}, and "
                f"{self.no_label} for no label"
            ) from error


class Block(nn.Module):
    """A token mixer and an MLP, each normalised, scaled, shifted and gated by the condition (adaLN-Zero)."""

    def __init__(self, dim: int, mixer: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = plain_norm(dim), plain_norm(dim)
        self.attn, self.mlp = mixer, mlp
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens (batch, rows, columns, dim) and condition (batch, dim) to tokens."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(condition)[:, None, None].chunk(6, -1)
        x = torch.addcmul(x, gate1, self.mix(modulate(self.norm1(x), shift1, scale1)))
        return torch.addcmul(x, gate2, self.mlp(modulate(self.norm2(x), shift2, scale2)))

    def mix(self, x: Tensor) -> Tensor:
        """The token mixer, in raster order unless a block has another."""
        return self.attn(x.flatten(1, 2)).view(x.shape)  # type: ignore[no-any-return]


class FinalLayer(nn.Module):
    """Tokens to patches of noise and variances: (batch, 2 channels, rows * patch, columns * patch)."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.patch = config.patch_size
        self.norm = plain_norm(config.embed_dim)
        self.linear = nn.Linear(config.embed_dim, self.patch**2 * 2 * config.in_chans)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.embed_dim, 2 * config.embed_dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition)[:, None, None].chunk(2, -1)
        patches = self.linear(modulate(self.norm(x), shift, scale)).unflatten(-1, (self.patch, self.patch, -1))
        return patches.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)  # type: ignore[no-any-return]


class DiffusionTransformer(Model, ABC):
    """Denoises latents of any size that its patch divides; `model(x, t, y)`.

    x: (batch, 4, height / 8, width / 8) latents, a float dtype; t: (batch,) timesteps, 0 to 999; y: (batch,) labels, 0
    to 999, and 1000 for none. Gives (batch, 8, height / 8, width / 8), dtype of x: channels 0 to 3 are the noise, 4 to
    7 the variance, between its bounds at -1 and 1. In training each label is dropped with probability `label_dropout`.

    The position table, a parameter that is not trained, is that of `img_size`; for other latents it is made anew.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.in_chans = config.in_chans
        self.num_classes = config.num_classes
        self.embed_dim = config.embed_dim
        self.grid = _grid(config)
        self.pos_embed = nn.Parameter(position_table(*self.grid, config.embed_dim), requires_grad=False)
        self.x_embedder = PatchEmbed(config)
        self.t_embedder = TimestepEmbedder(config.embed_dim)
        self.y_embedder = LabelEmbedder(config)
        self.blocks = nn.ModuleList(self.make_block(config, layer) for layer in range(config.depth))
        self.final_layer = FinalLayer(config)
        self.init_weights()

    @abstractmethod
    def make_block(self, config: Any, layer: int) -> nn.Module:
        """Block `layer`: (batch, rows, columns, embed_dim) and (batch, embed_dim) to the former."""

    def forward(self, x: Tensor, t: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        """See the class.

        Raises:
            ValueError: for latents that the model does not take, a timestep or label that is missing or too many.
        """
        t, y = self._checked(x, t, y)
        condition = self.t_embedder(t) + self.y_embedder(y)
        return self.final_layer(self.forward_blocks(self.embed(x), condition), condition)  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Latents to tokens that know their place."""
        tokens = self.x_embedder(x)
        rows, columns = tokens.shape[1:3]
        table: Tensor = self.pos_embed
        if (rows, columns) != self.grid:
            table = position_table(rows, columns, self.embed_dim).to(x.device)
        return tokens + table.to(tokens.dtype).view(1, rows, columns, -1)  # type: ignore[no-any-return]

    def forward_blocks(self, x: Tensor, condition: Tensor) -> Tensor:
        """All blocks."""
        for block in self.blocks:
            x = self.run_block(block, x, condition)
        return x

    def forward_with_cfg(self, x: Tensor, t: Tensor, y: Tensor, cfg_scale: float) -> Tensor:
        """`guided` as released: batches are doubled, of x the first half counts and comes back twice."""
        half = len(x) // 2
        return torch.cat([guided(self, x[:half], t[:half], y[:half], y[half:], cfg_scale)] * 2)

    def init_weights(self) -> None:
        """The released initialisation: every block is the identity, and what comes out is 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Block | FinalLayer):
                _to_zero(module.adaLN_modulation)
        _to_zero(self.final_layer.linear)
        nn.init.xavier_uniform_(self.x_embedder.proj.weight.view(self.embed_dim, -1))
        assert self.x_embedder.proj.bias is not None
        nn.init.zeros_(self.x_embedder.proj.bias)
        for layer in (self.y_embedder.embedding_table, *self.t_embedder.mlp):
            if isinstance(layer, nn.Linear | nn.Embedding):
                nn.init.normal_(layer.weight, std=0.02)

    def _checked(self, x: Tensor, t: Tensor | None, y: Tensor | None) -> tuple[Tensor, Tensor]:
        name = type(self).__name__
        if t is None or y is None:
            raise ValueError(f"{name} is called as model(x, t, y): give it timesteps t and labels y of the latents x")
        if x.ndim != 4 or x.shape[1] != self.in_chans:
            raise ValueError(
                f"{name} takes latents (batch, {self.in_chans}, height / {LATENT_STRIDE}, width / {LATENT_STRIDE}), "
                f"not {tuple(x.shape)}"
            )
        if 0 in x.shape[2:] or x.shape[2] % self.patch_size or x.shape[3] % self.patch_size:
            raise ValueError(
                f"latents of {x.shape[2]}x{x.shape[3]} cannot be cut into patches of {self.patch_size}: choose images "
                f"whose sides are multiples of {LATENT_STRIDE * self.patch_size} px"
            )
        for what, given in (("timestep", t), ("label", y)):
            if given.shape != x.shape[:1]:
                raise ValueError(
                    f"{name} takes a {what} for each latent: ({len(x)},) of them, not {tuple(given.shape)}"
                )
        return t, y


def _grid(config: DiffusionConfig) -> tuple[int, int]:
    """Rows and columns of tokens. ValueError for sides that cannot be cut into patches."""
    size, pixels = config.img_size, LATENT_STRIDE * config.patch_size
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1 or height % pixels or width % pixels:
        raise ValueError(
            f"latents of {height}x{width} px are cut into patches of {config.patch_size}, which are {pixels} px of the "
            f"image: choose sides that are multiples of {pixels}"
        )
    if not 0 <= config.label_dropout <= 1:
        raise ValueError(f"label_dropout is {config.label_dropout}: give a probability from 0 to 1")
    return height // pixels, width // pixels


def _to_zero(layers: nn.Module) -> None:
    for parameter in layers.parameters():
        nn.init.zeros_(parameter)


def diffusion_cfgs(names: Iterable[str]) -> dict[str, Any]:
    """timm's `default_cfgs`: latents of images of 256 px, and ImageNet-1k's classes."""
    cfg = {
        "num_classes": 1000,
        "input_size": (LATENT_CHANNELS, 256 // LATENT_STRIDE, 256 // LATENT_STRIDE),
        "pool_size": None,
        "first_conv": "x_embedder.proj",
        "classifier": "final_layer.linear",
    }
    return generate_default_cfgs(dict.fromkeys(names, cfg))  # type: ignore[no-any-return]


def register_all(model: type[DiffusionTransformer], configs: Mapping[str, DiffusionConfig]) -> None:
    """Register a model's sizes with timm, each as the entry function that its module would have."""

    def entry(name: str) -> Callable[..., DiffusionTransformer]:
        def build(pretrained: bool = False, **kwargs: Any) -> DiffusionTransformer:
            return create(model, configs, name, pretrained, **kwargs)

        build.__name__ = build.__qualname__ = name
        build.__module__ = model.__module__  # where timm looks for `default_cfgs`
        return build

    for name in configs:
        register_model(entry(name))
