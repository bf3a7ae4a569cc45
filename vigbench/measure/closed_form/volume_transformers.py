"""Networks that segment volumes with attention between convolutions."""

from math import prod
from typing import NamedTuple

from vigbench.measure.closed_form.products import (
    Sides,
    VolumeFormula,
    conv3d,
    linear,
    mlp,
    round_up,
    self_attention,
    takes,
    voxels_of,
)

WINDOW = 7


class Windows(NamedTuple):
    """A stage of blocks that attend in windows: their number, width, and how often the volume has been halved."""

    depth: int
    dim: int
    level: int


def _windows(stage: Windows, sides: Sides) -> int:
    """Swin's blocks (arXiv 2103.14030, section 3) with a third side, and an MLP of 4 dim.

    Attention, its projections included, runs on sides padded to whole windows; the MLP does not. On a side that is
    shorter than a window, the window is that side.
    """
    grid = [side // 2**stage.level for side in sides]
    windows = [min(side, WINDOW) for side in grid]
    padded = prod(round_up(side, window) for side, window in zip(grid, windows, strict=True))
    attention = self_attention(padded, prod(windows), stage.dim)
    return stage.depth * (attention + mlp(prod(grid), stage.dim, 4 * stage.dim))


def _merging(voxels: int, dim: int) -> int:
    """Eight corners to one token of twice the width; `voxels` are those that are left."""
    return linear(voxels, 8 * dim, 2 * dim)


GLIMS_DIM = 24
GLIMS_STAGES = (  # before the bottleneck, in it, after it
    Windows(2, 8 * GLIMS_DIM, 3),
    Windows(6, 16 * GLIMS_DIM, 4),
    Windows(2, 32 * GLIMS_DIM, 5),
    Windows(6, 16 * GLIMS_DIM, 4),
    Windows(2, 8 * GLIMS_DIM, 3),
)


def glims(sides: Sides, in_chans: int = 4, classes: int = 3, logits: int = 1) -> int | None:
    """arXiv 2404.17854; the released code (a6a8062) for what the paper leaves open.

    Args:
        sides: of a volume, multiples of 32.
        in_chans: channels of a volume.
        classes: channels of logits.
        logits: how many levels give some: 1 in inference, 4 in training.
    """
    if not takes(sides, 32):
        return None
    macs = linear(voxels_of(sides), in_chans, GLIMS_DIM)  # stem
    for level in range(4):
        dim, voxels, below = GLIMS_DIM * 2**level, voxels_of(sides, 2**level), voxels_of(sides, 2 ** (level + 1))
        macs += 4 * _dilated_block(voxels, dim)  # two on the way down, two on the way up
        macs += conv3d(below, dim, 2 * dim, 2) + conv3d(below, 2 * dim, dim, 2)  # down; up
        macs += linear(voxels, 2 * dim, dim)  # beside the skip
        macs += linear(voxels, dim, classes) if level < logits else 0
    macs += sum(_skip_gate(voxels_of(sides, 2**level), GLIMS_DIM * 2**level) for level in range(5))
    macs += sum(_windows(stage, sides) for stage in GLIMS_STAGES)
    dim, deepest = 16 * GLIMS_DIM, voxels_of(sides, 32)
    expansion = linear(deepest, 2 * dim, 8 * dim)
    beside_skip = linear(voxels_of(sides, 16), 2 * dim, dim)
    return macs + _merging(deepest, dim) + expansion + beside_skip


def _dilated_block(voxels: int, dim: int) -> int:
    """Three depthwise 3x3x3 side by side, of dilations that cost nothing, and back to the width in two steps."""
    return 3 * conv3d(voxels, dim, dim, 3, groups=dim) + linear(voxels, 3 * dim, 2 * dim) + linear(voxels, 2 * dim, dim)


def _skip_gate(voxels: int, dim: int) -> int:
    """Of channels: an MLP on their means and maxima. Of voxels: a 7x7x7, of which only the cost can be seen."""
    return mlp(2, dim, dim // 2) + conv3d(voxels, 2, 1, 7)


def _residual(voxels: int, inputs: int, outputs: int) -> int:
    """Two 3x3x3, and a shortcut of 1x1x1 where the width changes."""
    shortcut = linear(voxels, inputs, outputs) if inputs != outputs else 0
    return conv3d(voxels, inputs, outputs, 3) + conv3d(voxels, outputs, outputs, 3) + shortcut


def _decoder(sides: Sides, level: int, below: int, dim: int) -> int:
    """A transposed 2x2x2 from the level below, and a residual block on that beside the skip."""
    up = conv3d(voxels_of(sides, 2 ** (level + 1)), below, dim, 2)
    return up + _residual(voxels_of(sides, 2**level), 2 * dim, dim)


def swin_unetr(sides: Sides, in_chans: int = 4, classes: int = 3) -> int | None:
    """arXiv 2201.01266, section 3, with 48 features: two blocks in each of four stages, which start at half the size.

    A residual block stands on each skip but that into the fourth stage, and on what comes out of it.
    """
    if not takes(sides, 32, fewest=2):
        return None
    dim = 48
    macs = _residual(voxels_of(sides), in_chans, dim) + _decoder(sides, 0, dim, dim)
    macs += conv3d(voxels_of(sides, 2), in_chans, dim, 2)  # patches
    for stage in range(4):
        level, width = stage + 1, dim * 2**stage
        macs += _windows(Windows(2, width, level), sides) + _merging(voxels_of(sides, 2 ** (level + 1)), width)
        macs += _residual(voxels_of(sides, 2**level), width, width) if stage < 3 else 0
        macs += _decoder(sides, level, 2 * width, width)
    macs += _residual(voxels_of(sides, 32), 16 * dim, 16 * dim)
    return macs + linear(voxels_of(sides), dim, classes)


def unetr(sides: Sides, in_chans: int = 4, classes: int = 3) -> int | None:
    """arXiv 2103.10504, section 3: ViT-B on patches of 16 and a decoder of 16 features, as MONAI has it by default.

    What every third layer gives is brought to its skip's size, where a residual block follows on each transposed 2x2x2
    but the first.
    """
    if not takes(sides, 16):
        return None
    dim, hidden, tokens = 16, 768, voxels_of(sides, 16)
    block = self_attention(tokens, tokens, hidden) + mlp(tokens, hidden, 4 * hidden)
    macs = conv3d(tokens, in_chans, hidden, 16) + 12 * block
    macs += _residual(voxels_of(sides), in_chans, dim) + _decoder(sides, 0, 2 * dim, dim)
    for level in (1, 2, 3):
        width = dim * 2**level
        macs += conv3d(tokens, hidden, width, 2)
        for reached in range(level, 3):
            macs += conv3d(voxels_of(sides, 2 ** (reached + 1)), width, width, 2)
            macs += _residual(voxels_of(sides, 2**reached), width, width)
        macs += _decoder(sides, level, hidden if level == 3 else 2 * width, width)
    return macs + linear(voxels_of(sides), dim, classes)


FORMULAS: dict[str, VolumeFormula] = {"glims": glims, "swin_unetr": swin_unetr, "unetr": unetr}
