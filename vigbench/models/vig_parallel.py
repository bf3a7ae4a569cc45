"""ViG on images that are cut at rows of tokens over the ranks of a torch.distributed group.

Rows are exchanged where layers look beyond a token: 9 rows of pixels for the stem, a row of tokens from either
neighbour for each depthwise convolution, the states of `sequence_parallel_gla`, and the mean of the tokens at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from vigbench.models.backbone import PATCH_SIZE, PlainBackbone
from vigbench.models.mixers.gated_linear_attention import GATE_LOGIT_NORMALIZER, GatedLinearAttention2d
from vigbench.ops.communication import (
    Ranks,
    agree,
    bounds_of,
    check_exchange,
    differentiated,
    even_parts,
    halo_rows,
    ranks_of,
    sum_over_ranks,
)
from vigbench.ops.dispatch import computed_dtype
from vigbench.ops.gla import selected_implementation
from vigbench.ops.gla.sequence_parallel import EXCHANGES, gla_of_part

if TYPE_CHECKING:
    from vigbench.models.vig import Block, PatchEmbed, ViG

STEM_HALO_PX = 9
"""Token row j reads feature rows 2j - 1 to 2j + 1, feature row i reads pixel rows 8i - 1 to 8i + 7: so the first token
row of a rank reads pixels from 16j - 9 on, and the last one none below its own."""


def token_rows(height: int) -> int:
    """Rows of tokens that the stem makes of an image (or of a part that begins at a row of tokens), of `height` px."""
    features = (height + 2 - 9) // 8 + 1
    return (features + 2 - 3) // 2 + 1


def rows_of(images: Tensor, rank: int, world: int, rows: Sequence[int] | None = None) -> Tensor:
    """A rank's part of whole images, cut at rows of tokens, 16 px each; the last rank has what is left of the height.

    Args:
        images: (batch, channels, height, width).
        rank, world: whose part, of how many.
        rows: rows of tokens of each rank, at least 1; by default as equal as they can be.

    Raises:
        ValueError: the same for all ranks, where rows do not fit the ranks or the images.
    """
    total = token_rows(images.shape[2])
    start, end = bounds_of(even_parts(total, world) if rows is None else rows, total, rank, world)
    return images[:, :, PATCH_SIZE * start : None if rank == world - 1 else PATCH_SIZE * end]


class SequenceParallelViG(nn.Module):
    """A ViG (with its own mixer, GLA) of which every rank of a group computes some rows of tokens.

    All ranks hold the same weights, and give what `rows_of` cuts for them: (batch, channels, their pixel rows, width).
    The logits are those of the whole images, on every rank. Gradients are those of the sum of what the ranks
    differentiate: where all of them differentiate the loss, average them over ranks, as DistributedDataParallel does.
    Dropout and stochastic depth want generators that are seeded alike.

    Args:
        model: its weights, mode, implementation and gradient checkpointing are used as they are.
        group: by default all processes.
        exchange: of states, "all_gather" or "ring".

    Raises:
        ValueError: another model, an unknown exchange; on a call, on every rank alike, parts that do not fit together.
    """

    def __init__(self, model: ViG, group: ProcessGroup | None = None, exchange: str = "all_gather") -> None:
        super().__init__()
        check_exchange(exchange, EXCHANGES)
        if not isinstance(model, PlainBackbone) or not all(
            type(one) is GatedLinearAttention2d for one in _mixers(model)
        ):
            raise ValueError(f"{type(model).__name__} cannot be cut at rows: pass a plain ViG whose mixer is gla")
        if model.global_pool != "avg":
            raise ValueError(f"global_pool {model.global_pool!r} needs all tokens on one rank: build it with 'avg'")
        self.model = model
        self.group = group
        self.exchange = exchange

    def forward(self, images: Tensor) -> Tensor:
        model, ranks = self.model, ranks_of(self.group)
        described = agree(partial(self._describe, images, ranks), ranks, own=("rows",))
        rows = [int(one["rows"]) for one in described]
        x = _stem(model.patch_embed, images, ranks)
        embedding = model.resized_pos_embed(sum(rows), x.shape[2])
        x = x + embedding[:, sum(rows[: ranks.rank]) :][:, : rows[ranks.rank]].to(x.dtype)
        for block in model.blocks:
            x = model.run_block(partial(self._block, cast("Block", block), ranks), x)
        x = model.norm(x).mean((1, 2)) * (rows[ranks.rank] / sum(rows))
        pooled = sum_over_ranks(x.to(torch.promote_types(x.dtype, torch.float32)), ranks).to(x.dtype)
        return model.head(model.head_drop(pooled))  # type: ignore[no-any-return]

    def _describe(self, images: Tensor, ranks: Ranks) -> dict[str, object]:
        if images.ndim != 4 or images.shape[1] != self.model.in_chans or 0 in images.shape:
            raise ValueError(
                f"images are {tuple(images.shape)}: pass (batch, {self.model.in_chans}, this rank's pixel rows, width)"
            )
        height = images.shape[2]
        if not token_rows(height) or (height % PATCH_SIZE and not ranks.last):
            raise ValueError(
                f"{height} rows of pixels are no whole rows of tokens: cut images with rows_of, in steps of "
                f"{PATCH_SIZE} px, at least one for each rank"
            )
        return {
            "operator": "ViG",
            "exchange": self.exchange,
            "dtype": str(computed_dtype(images)),
            "batch": images.shape[0],
            "width": images.shape[3],
            "mode": "training" if self.model.training else "eval",
            "differentiated": differentiated(images=images),
            "trained parameters": sum(one.requires_grad for one in self.parameters()) * torch.is_grad_enabled(),
            "rows": token_rows(height),
        }

    def _block(self, block: Block, ranks: Ranks, x: Tensor) -> Tensor:
        x = x + block.drop_path(self._mix(block.attn, block.attn_norm(x), ranks))
        return x + block.drop_path(block.mlp(block.mlp_norm(x)))  # type: ignore[no-any-return]

    def _mix(self, mixer: GatedLinearAttention2d, x: Tensor, ranks: Ranks) -> Tensor:
        conv, act = cast("nn.Conv2d", mixer.in_proj[0]), mixer.in_proj[1]
        x = F.pad(halo_rows(x, 1, 1, ranks), (0, 0, 0, 0, int(ranks.first), int(ranks.last)))
        x = act(_conv_of_rows(conv, x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)

        def attend(q: Tensor, k: Tensor, v: Tensor, local: Tensor) -> tuple[Tensor, str]:
            gates = F.logsigmoid(mixer.gk_proj(local)) / GATE_LOGIT_NORMALIZER
            g_fwd, g_bwd = gates.unflatten(-1, (2, mixer.num_heads, -1)).unbind(2)
            name = selected_implementation(mixer.implementation, q, k, v, g_fwd, g_bwd)
            return gla_of_part(q, k, v, g_fwd, g_bwd, mixer.scale_now, ranks, self.exchange, name), name

        return mixer.mix(x, attend)


def _mixers(model: PlainBackbone) -> list[nn.Module]:
    return [getattr(block, "attn", block) for block in getattr(model, model.blocks_path)]


def _stem(stem: PatchEmbed, images: Tensor, ranks: Ranks) -> Tensor:
    """This rank's tokens; of the features below the first convolution, one row is computed on two ranks."""
    first, norm, act, second, last_norm = stem.proj
    x = halo_rows(images.transpose(1, 2), STEM_HALO_PX, 0, ranks).transpose(1, 2)
    zeros = (0, 0, int(ranks.first), int(ranks.last))  # the convolutions' padding, at the image's own borders
    x = act(norm(_conv_of_rows(cast("nn.Conv2d", first), F.pad(x, zeros))))
    return last_norm(_conv_of_rows(cast("nn.Conv2d", second), F.pad(x, zeros))).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


def _conv_of_rows(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """The convolution of an x that has its rows of zeros, or a neighbour's rows, already."""
    padding = 0, cast("tuple[int, int]", conv.padding)[1]
    return F.conv2d(x, conv.weight, conv.bias, cast("tuple[int, int]", conv.stride), padding, groups=conv.groups)
