"""Transformers in four stages of halving resolution."""

from typing import NamedTuple

from vigbench.measure.closed_form.products import (
    CLASSES,
    attention,
    ceil_div,
    conv,
    depthwise,
    formulas,
    linear,
    mlp,
    round_up,
    self_attention,
)

Depths = tuple[int, int, int, int]


class Swin(NamedTuple):
    """Width of the first stage, doubled at each of the next; windows of 7x7 tokens, an MLP of 4 dim."""

    dim: int
    depths: Depths


def _swin(config: Swin, resolution: int) -> int:
    """arXiv 2103.14030, section 3; timm's swin_transformer.py for sizes that windows do not divide.

    Attention, its projections included, runs on sides padded to whole windows; the MLP does not. A stage smaller than a
    window is one window. Another `img_size` leaves the windows at 7.
    """
    side, dim = resolution // 4, config.dim
    macs = conv(side**2, 3, dim, 4)
    for stage, depth in enumerate(config.depths):
        if stage:
            side, dim = ceil_div(side, 2), 2 * dim
            macs += linear(side**2, 2 * dim, dim)  # merging: 4 tokens of the narrower width
        window = min(side, 7)
        padded = round_up(side, window)
        macs += depth * (self_attention(padded**2, window**2, dim) + mlp(side**2, dim, 4 * dim))
    return macs + linear(1, dim, CLASSES)


def _pvt_v2(depths: Depths, resolution: int) -> int:
    """arXiv 2106.13797, section 3 and table 1, with convolutional spatial reduction of keys and values."""
    side, inputs, macs = resolution, 3, 0
    stages = zip(depths, (64, 128, 320, 512), (7, 3, 3, 3), (4, 2, 2, 2), (8, 4, 2, 1), (8, 8, 4, 4), strict=True)
    for depth, dim, kernel, stride, reduction, expansion in stages:
        side = ceil_div(side, stride)
        macs += conv(side**2, inputs, dim, kernel)
        tokens, keys, hidden = side**2, (side // reduction) ** 2, expansion * dim
        reduce = conv(keys, dim, dim, reduction) if reduction > 1 else 0
        projections = linear(tokens, dim, 2 * dim) + linear(keys, dim, 2 * dim)  # queries and output; keys and values
        feed_forward = mlp(tokens, dim, hidden) + depthwise(tokens, hidden, 3)
        macs += depth * (reduce + projections + attention(tokens, keys, dim) + feed_forward)
        inputs = dim
    return macs + linear(1, inputs, CLASSES)


def _hiera(depths: Depths, resolution: int) -> int | None:
    """arXiv 2306.00989, section 3, widths 96 to 768; timm's hiera.py, which takes multiples of 32 when built for them.

    The first block of a stage pools its queries 2x2, after their projection. Attention stays inside mask units (8x8
    tokens, a quarter of that after each pooling) until that first block of the third stage, and is global from then on.
    """
    if resolution % 32:
        return None
    tokens, unit, inputs = (resolution // 4) ** 2, 8 * 8, 96
    macs = conv(tokens, 3, inputs, 7)
    for stage, depth in enumerate(depths):
        dim = 96 * 2**stage
        for block in range(depth):
            pools = stage > 0 and block == 0
            queries = tokens // 4 if pools else tokens
            keys = unit if stage < 2 or (stage == 2 and pools) else tokens
            shortcut = linear(tokens, inputs, dim) if pools else 0
            projections = linear(tokens, inputs, 3 * dim) + linear(queries, dim, dim)
            macs += shortcut + projections + attention(queries, keys, dim) + mlp(queries, dim, 4 * dim)
            if pools:
                tokens, unit, inputs = queries, unit // 4, dim
    return macs + linear(1, inputs, CLASSES)


_SWIN = {
    "swin_tiny_patch4_window7_224": Swin(96, (2, 2, 6, 2)),
    "swin_small_patch4_window7_224": Swin(96, (2, 2, 18, 2)),
    "swin_base_patch4_window7_224": Swin(128, (2, 2, 18, 2)),
}

_PVT_V2: dict[str, Depths] = {
    "pvt_v2_b1": (2, 2, 2, 2),
    "pvt_v2_b2": (3, 4, 6, 3),
    "pvt_v2_b4": (3, 8, 27, 3),
}

_HIERA: dict[str, Depths] = {
    "hiera_tiny_224": (1, 2, 7, 2),
    "hiera_small_224": (1, 2, 11, 2),
    "hiera_base_224": (2, 3, 16, 3),
}

FORMULAS = formulas(_swin, _SWIN) | formulas(_pvt_v2, _PVT_V2) | formulas(_hiera, _HIERA)
