"""What vigbench's own backbones have in common: their settings and timm's conventions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from timm.models import generate_default_cfgs
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from vigbench.models.model import Model
from vigbench.nearest import one_of

Pool = Literal["avg", "token", ""]
PATCH_SIZE = 16
POS_GRID = 14  # tokens a side at 224


@dataclass(frozen=True, kw_only=True)
class Config:
    """What can be set of every model, by timm's names."""

    num_classes: int = 1000
    in_chans: int = 3
    global_pool: Pool = "avg"
    drop_rate: float = 0.0  # dropout before the last layer
    drop_path_rate: float = 0.0  # of the last block; it rises from 0


@dataclass(frozen=True, kw_only=True)
class PlainConfig(Config):
    """What can be set, besides, of a model of one width."""

    embed_dim: int = 192
    depth: int = 12

    def drop_path(self, layer: int) -> float:
        """The rate of block `layer`."""
        return self.drop_path_rate * layer / max(1, self.depth - 1)


class Backbone(Model, ABC):
    """An image classifier: (batch, in_chans, height, width) to (batch, num_classes).

    `first_conv` and `last_layer` are the paths of these layers.
    """

    operator: str = "gla"
    first_conv: ClassVar[str]
    last_layer: ClassVar[str] = "head"
    output_fmts: ClassVar[tuple[str, ...]] = ("NCHW", "NLC")  # of intermediate features
    init_matrix: ClassVar[Callable[..., Tensor]] = staticmethod(nn.init.trunc_normal_)  # of linear layers
    feature_info: list[dict[str, Any]]

    def __init__(self, config: Config, num_features: int) -> None:
        super().__init__()
        self.num_features = self.head_hidden_size = num_features
        self.num_classes = config.num_classes
        self.in_chans = config.in_chans
        self.global_pool = config.global_pool

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalised features before pooling."""
        return self.final_features(self.forward_blocks(x)[0])

    @abstractmethod
    def forward_blocks(
        self, images: Tensor, taken: Collection[int] = (), last: int | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """What comes out of the last block (or stage), or of block `last` where that is given, and of those `taken`."""

    @abstractmethod
    def final_features(self, x: Tensor) -> Tensor:
        """Normalised features of what comes out of the last block."""

    @abstractmethod
    def feature_map(self, x: Tensor, images: Tensor, norm: bool) -> Tensor:
        """What comes out of a block as (batch, channels, rows, columns), with `norm` after the model's last norm."""

    @abstractmethod
    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits, or with `pre_logits` the pooled features they are computed from."""

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Outputs of chosen blocks (or stages) as NCHW or NLC, after the final features unless `intermediates_only`."""
        if output_fmt not in self.output_fmts:
            raise ValueError(f"unknown output_fmt {output_fmt!r}: choose {one_of(self.output_fmts)}")
        taken, last = feature_take_indices(len(self.feature_info), indices)
        final, outputs = self.forward_blocks(x, taken, last if stop_early else None)
        maps = [self.feature_map(output, x, norm) for output in outputs]
        intermediates = [y.flatten(2).mT for y in maps] if output_fmt == "NLC" else maps
        return intermediates if intermediates_only else (self.final_features(final), intermediates)

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.get_submodule(self.last_layer)

    def reset_classifier(self, num_classes: int, global_pool: Pool | None = None) -> None:
        """Replace the last layer; none for 0 classes."""
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        head = linear_head(self.num_features, num_classes).to(next(self.parameters()))
        self.set_submodule(self.last_layer, head.apply(self.init_linear))

    def init_linear(self, module: nn.Module) -> None:
        """The released initialisation of a linear layer; does nothing to other modules."""
        if isinstance(module, nn.Linear):
            self.init_matrix(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def no_weight_decay(self) -> set[str]:
        """Parameters an optimizer should not decay, beyond the norms and biases that all models leave out."""
        return set()

    @abstractmethod
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Parameter groups by depth, for layer-wise learning rates."""


class PlainBackbone(Backbone):
    """Tokens of one width, with position embeddings (`pos_embed`, at 14 x 14) and a norm after the last block.

    `blocks_path` and `norm_path` are what the released state dict calls the blocks and that norm.
    """

    blocks_path: ClassVar[str] = "layers"
    norm_path: ClassVar[str] = "norm"
    pos_embed: nn.Parameter
    head_drop: nn.Dropout
    head: nn.Module
    _kept: tuple[nn.Parameter, tuple[Any, ...], Tensor] | None = None  # the resized position embedding, and of what

    def __init__(self, config: PlainConfig) -> None:
        super().__init__(config, config.embed_dim)
        self.embed_dim = config.embed_dim
        self.feature_info = [
            {"num_chs": config.embed_dim, "reduction": PATCH_SIZE, "module": f"{self.blocks_path}.{i}"}
            for i in range(config.depth)
        ]

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """What goes into the first block: (batch, rows, columns, embed_dim), or (batch, tokens, embed_dim)."""

    def forward_blocks(
        self, images: Tensor, taken: Collection[int] = (), last: int | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        x, outputs = self.embed(images), []
        for i, block in enumerate(getattr(self, self.blocks_path)):
            x = self.run_block(block, x)
            if i in taken:
                outputs.append(x)
            if i == last:
                break
        return x, outputs

    def final_features(self, x: Tensor) -> Tensor:
        """Normalised tokens in raster order, (batch, rows * columns, embed_dim)."""
        return getattr(self, self.norm_path)(x).flatten(1, 2)  # type: ignore[no-any-return]

    def feature_map(self, x: Tensor, images: Tensor, norm: bool) -> Tensor:  # noqa: ARG002  the tokens are on a grid
        return (getattr(self, self.norm_path)(x) if norm else x).permute(0, 3, 1, 2)

    def pool(self, x: Tensor) -> Tensor:
        """What is classified of normalised tokens."""
        return x.mean(dim=1) if self.global_pool == "avg" else x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.head_drop(self.pool(x))
        return x if pre_logits else self.head(x)

    def resized_pos_embed(self, rows: int, columns: int) -> Tensor:
        """Position embeddings of another grid, (1, rows, columns, embed_dim)."""
        return resize_grid(self.pos_embed, rows, columns)

    def kept_pos_embed(self, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """The same in `dtype`, resized once for inference at one size, and kept until the parameter changes.

        What is written through `pos_embed.data` is not noticed: PyTorch counts no such change.
        """
        embed = self.pos_embed
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and embed.requires_grad):
            return self.resized_pos_embed(rows, columns).to(dtype)
        if embed.is_inference() or (embed.is_cuda and torch.cuda.is_current_stream_capturing()):
            return self.resized_pos_embed(rows, columns).to(dtype)  # changes are not counted; memory is the graph's
        key = (rows, columns, dtype, embed.device, embed._version)
        if self._kept is None or self._kept[0] is not embed or self._kept[1] != key:
            self._kept = (embed, key, self.resized_pos_embed(rows, columns).to(dtype))
        return self._kept[2]

    def no_weight_decay(self) -> set[str]:
        """Parameters an optimizer should not decay."""
        return {"pos_embed"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: ARG002  timm's signature
        return {
            "stem": r"^cls_token|^pos_embed|^patch_embed",
            "blocks": [(rf"^{self.blocks_path}\.(\d+)", None), (rf"^{self.norm_path}", (99999,))],
        }


def resize_grid(pos_embed: Tensor, rows: int, columns: int, dtype: torch.dtype | None = None) -> Tensor:
    """Position embeddings (1, POS_GRID ** 2, dim) as (1, rows, columns, dim), computed in `dtype` (None: their own)."""
    grid = pos_embed.view(1, POS_GRID, POS_GRID, -1)
    if (rows, columns) == (POS_GRID, POS_GRID):
        return grid
    grid = grid.permute(0, 3, 1, 2)
    grid = grid if dtype is None else grid.to(dtype)
    return F.interpolate(grid, (rows, columns), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)


def linear_head(dim: int, num_classes: int) -> nn.Module:
    """The last layer; none for 0 classes."""
    return nn.Linear(dim, num_classes) if num_classes else nn.Identity()


def timm_cfgs(model: type[Backbone], names: Iterable[str], **more: Any) -> dict[str, Any]:
    """timm's `default_cfgs` of classifiers trained on ImageNet-1k at 224."""
    cfg = {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": None,
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "first_conv": model.first_conv,
        "classifier": model.last_layer,
        **more,
    }
    return generate_default_cfgs(dict.fromkeys(names, cfg))  # type: ignore[no-any-return]
