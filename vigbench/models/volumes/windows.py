"""The attentive half of GLIMS: windows of volumes that attend within themselves, shifted in every other block.

From Swin (arXiv 2103.14030), in three dimensions; what the released model does otherwise is said where it does.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 7
SHIFT = WINDOW // 2
HEAD_DIM = 32
LAYER_NORM_EPS = 1e-5
SEAM = -100.0  # added to scores across the seams of a shifted volume
# (depth, height, width) in the order read: two are there twice, 110 and 011 never, as released
CORNERS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))

Grid = tuple[int, int, int]


class WindowLayout(NamedTuple):
    """How a grid is cut: a window's sides, by how much it is shifted, and the grid's sides with padding."""

    sides: Grid
    shift: Grid
    padded: Grid

    @classmethod
    def of(cls, grid: Sequence[int], shifted: bool) -> WindowLayout:
        """No longer than the grid; no shift along a side that one window covers."""
        sides = [min(WINDOW, side) for side in grid]
        shift = [SHIFT if shifted and side > WINDOW else 0 for side in grid]
        padded = [-(-side // window) * window for side, window in zip(grid, sides, strict=True)]
        return cls(*((a, b, c) for a, b, c in (sides, shift, padded)))

    def cut(self, x: Tensor) -> Tensor:
        """(batch, *padded, dim) to (batch * windows, tokens, dim)."""
        (d, h, w), (a, b, c) = self.padded, self.sides
        x = x.view(-1, d // a, a, h // b, b, w // c, c, x.shape[-1])
        return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, a * b * c, x.shape[-1])

    def join(self, x: Tensor) -> Tensor:
        """The reverse of `cut`."""
        (d, h, w), (a, b, c) = self.padded, self.sides
        x = x.view(-1, d // a, h // b, w // c, a, b, c, x.shape[-1])
        return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, d, h, w, x.shape[-1])

    def seams(self, like: Tensor) -> Tensor | None:
        """What is added to the scores of each window, (windows, tokens, tokens); None without a shift."""
        if not any(self.shift):
            return None
        parts = torch.zeros(1, 1, 1, device=like.device)
        for axis, (side, window, shift) in enumerate(zip(self.padded, self.sides, self.shift, strict=True)):
            place = torch.arange(side, device=like.device)
            part = (place >= side - window).float() + (place >= side - shift) if shift else torch.zeros_like(place)
            parts = 3 * parts + part.view([-1 if axis == other else 1 for other in range(3)])
        parts = self.cut(parts[None, ..., None]).squeeze(-1)
        return (parts[:, None] != parts[:, :, None]) * torch.tensor(SEAM, dtype=like.dtype, device=like.device)


def relative_position_index() -> Tensor:
    """For each pair of tokens of a full window the row of the bias table, (343, 343) in int64."""
    places = torch.tensor(list(itertools.product(range(WINDOW), repeat=3)))
    apart = places[:, None] - places[None] + WINDOW - 1
    span = 2 * WINDOW - 1
    return (apart[..., 0] * span + apart[..., 1]) * span + apart[..., 2]


def score_bias(table: Tensor, index: Tensor, tokens: int, seams: Tensor | None, windows: int) -> Tensor:
    """What is added to the scores of so many windows, (1 or windows, heads, tokens, tokens).

    Args:
        table: (rows, heads).
        index: row of each pair of tokens of a full window; of a smaller one its first tokens count.
        tokens: of a window.
        seams: of a volume's windows, see `WindowLayout.seams`; None: no shift.
        windows: of the whole batch.
    """
    bias = table[index[:tokens, :tokens]].permute(2, 0, 1)[None]
    if seams is None:
        return bias
    bias = bias + seams[:, None]
    return bias if len(bias) == windows else bias.repeat(windows // len(bias), 1, 1, 1)


class WindowAttention(nn.Module):
    """Attention within windows with a learned bias for each pair of places: (windows, tokens, dim) to the same.

    A smaller window has the bias of a full one's first tokens, as released, and not that of its own places.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_heads = dim // HEAD_DIM
        self.fused_attn = True  # by scaled_dot_product_attention, as in timm's modules
        rows = (2 * WINDOW - 1) ** 3
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, self.num_heads))
        self.register_buffer("relative_position_index", relative_position_index())
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor, seams: Tensor | None) -> Tensor:
        windows, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(windows, tokens, 3, self.num_heads, HEAD_DIM).permute(2, 0, 3, 1, 4).unbind(0)
        bias = score_bias(self.relative_position_bias_table, self.relative_position_index, tokens, seams, windows)
        bias, scale = bias.to(q.dtype), HEAD_DIM**-0.5
        if self.fused_attn:
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
        else:
            x = ((q * scale) @ k.mT + bias).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(windows, tokens, dim))  # type: ignore[no-any-return]


class WindowMlp(nn.Module):
    """Two layers around PReLU with one slope, where Swin has GELU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, 4 * dim)
        self.fn = nn.PReLU()
        self.linear2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.fn(self.linear1(x)))  # type: ignore[no-any-return]


class WindowBlock(nn.Module):
    """Attention within windows and an MLP, each on normalised tokens and with a residual: (batch, D, H, W, dim).

    Volumes are padded with zeros after the norm; padded tokens are attended to. `seams` are those of a shifted block's
    windows, which all such blocks of a stage share.
    """

    def __init__(self, dim: int, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.attn = WindowAttention(dim)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = WindowMlp(dim)

    def forward(self, x: Tensor, seams: Tensor | None) -> Tensor:
        x = x + self.attend(self.norm1(x), seams if self.shifted else None)
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]

    def attend(self, x: Tensor, seams: Tensor | None) -> Tensor:
        """The attention of a volume's windows."""
        grid = x.shape[1:4]
        windows = WindowLayout.of(grid, self.shifted)
        beyond = [more - side for side, more in zip(grid, windows.padded, strict=True)]
        if any(beyond):
            x = F.pad(x, (0, 0, 0, beyond[2], 0, beyond[1], 0, beyond[0]))
        shift, axes = windows.shift, (1, 2, 3)
        if any(shift):
            x = x.roll([-by for by in shift], axes)
        x = windows.join(self.attn(windows.cut(x), seams))
        if any(shift):
            x = x.roll(shift, axes)
        return x[:, : grid[0], : grid[1], : grid[2]]


class CornerMerging(nn.Module):
    """Eight corners of each 2 x 2 x 2 to one token of twice the channels; which corners, see `CORNERS`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8 * dim)
        self.reduction = nn.Linear(8 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x[:, d::2, h::2, w::2] for d, h, w in CORNERS], -1)
        return self.reduction(self.norm(x))  # type: ignore[no-any-return]


class TokenExpansion(nn.Module):
    """Each token to 2 x 2 x 2 of half the channels, (batch, D, H, W, dim); a token's parts lie as height, width, depth.

    That order is the released one: it is not the grid's.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, 4 * dim, bias=False)
        self.norm_layer = nn.LayerNorm(dim // 2)

    def forward(self, x: Tensor) -> Tensor:
        b, d, h, w, dim = x.shape
        x = self.expand(x).view(b, d, h, w, 2, 2, 2, dim // 2).permute(0, 1, 6, 2, 4, 3, 5, 7)
        return self.norm_layer(x.reshape(b, 2 * d, 2 * h, 2 * w, dim // 2))  # type: ignore[no-any-return]
