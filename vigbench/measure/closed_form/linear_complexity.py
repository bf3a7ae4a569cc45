"""Models whose token mixing is linear in the number of tokens."""

from typing import NamedTuple

from vigbench.measure.closed_form.products import (
    CLASSES,
    ceil_div,
    conv,
    depthwise,
    formulas,
    linear,
    mlp,
    round_up,
)


def _gla_mixer(tokens: int, dim: int, value_dim: int) -> int:
    """ViG's mixer (arXiv 2405.18425, section 3): gates of rank 16 for two directions, keys of half the width.

    Gated linear attention is 3 L H K V a direction: decay, outer product and read of the state.
    """
    keys = dim // 2  # of all heads, H K
    projections = linear(tokens, dim, 2 * keys + dim) + 2 * linear(tokens, dim, dim)  # q, k, v; output gate and output
    gates = linear(tokens, dim, 16) + linear(tokens, 16, 2 * keys)
    return depthwise(tokens, dim, 3) + projections + gates + 2 * 3 * tokens * keys * value_dim


def _swiglu(tokens: int, dim: int, multiple: int) -> int:
    """Gate, up and down, of hidden width 8/3 dim rounded up to a multiple."""
    return 3 * linear(tokens, dim, round_up(8 * dim // 3, multiple))


def _vig(dim: int, resolution: int) -> int:
    """arXiv 2405.18425; settings as in the released code: 9x9 of stride 8 padded by 1, 3x3 of stride 2, 12 blocks."""
    half = (resolution + 2 - 9) // 8 + 1
    side = ceil_div(half, 2)
    stem = conv(half**2, 3, dim // 2, 9) + conv(side**2, dim // 2, dim, 3)
    block = _gla_mixer(side**2, dim, value_dim=64) + _swiglu(side**2, dim, multiple=256)
    return stem + 12 * block + linear(1, dim, CLASSES)


class ViGHShape(NamedTuple):
    """Width of the first of four stages, doubled at each of the next, and the blocks of the third; others have 2."""

    dim: int
    third: int


def _vig_h(config: ViGHShape, resolution: int) -> int:
    """arXiv 2405.18425; settings as in the released code: 3x3 of stride 2, two as the stem, one between stages."""
    side, inputs = ceil_div(resolution, 2), config.dim // 2
    macs = conv(side**2, 3, inputs, 3)
    for stage, depth in enumerate((2, 2, config.third, 2)):
        side, dim = ceil_div(side, 2), config.dim * 2**stage
        macs += conv(side**2, inputs, dim, 3)
        macs += depth * (_gla_mixer(side**2, dim, value_dim=32) + _swiglu(side**2, dim, multiple=32))
        inputs = dim
    return macs + linear(1, inputs, CLASSES)


def _vim(dim: int, resolution: int) -> int:
    """arXiv 2401.09417, section 3, as released: 24 layers without MLP, state of 16, one class token.

    Selective scan of a direction: 4 L E N (dt A, dt u B, recurrence, read), and dt u and D u at L E each. The
    directions share the projections in (to twice the inner width: input and gate) and out.
    """
    patches, inner, state, rank = (resolution // 16) ** 2, 2 * dim, 16, ceil_div(dim, 16)
    tokens = patches + 1
    convolution = 4 * tokens * inner  # causal, depthwise, 4 taps
    parameters = linear(tokens, inner, rank + 2 * state) + linear(tokens, rank, inner)  # dt, B, C; dt of every channel
    scan = 4 * tokens * inner * state + 2 * tokens * inner
    layer = linear(tokens, dim, 2 * inner) + 2 * (convolution + parameters + scan) + linear(tokens, inner, dim)
    return conv(patches, 3, dim, 16) + 24 * layer + linear(1, dim, CLASSES)


def _vrwkv(dim: int, resolution: int) -> int:
    """arXiv 2403.02308, section 3: 12 layers, Bi-WKV at 8 T C; sizes are padded to whole patches."""
    tokens = ceil_div(resolution, 16) ** 2
    spatial_mix = 4 * linear(tokens, dim, dim) + 8 * tokens * dim  # receptance, key, value, output
    channel_mix = mlp(tokens, dim, 4 * dim) + linear(tokens, dim, dim)  # key and value; receptance
    return conv(tokens, 3, dim, 16) + 12 * (spatial_mix + channel_mix) + linear(1, dim, CLASSES)


class EfficientViT(NamedTuple):
    """Widths of stem and stages, blocks of each, channels of a head, and the widths of the classifier."""

    widths: tuple[int, int, int, int, int]
    depths: tuple[int, int, int, int, int]
    head_dim: int
    classifier: tuple[int, int]


def _efficient_vit(config: EfficientViT, resolution: int) -> int:
    """arXiv 2205.14756, section 3; timm's efficientvit_mit.py.

    Stages begin with an inverted bottleneck of stride 2. The first two go on with more of them, in `depth` together;
    the last two with `depth` pairs of linear attention and inverted bottleneck.
    """
    (inputs, *widths), (stem_depth, *depths) = config.widths, config.depths
    side = ceil_div(resolution, 2)
    macs = conv(side**2, 3, inputs, 3)
    macs += stem_depth * (depthwise(side**2, inputs, 3) + linear(side**2, inputs, inputs))
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        before, side = side, ceil_div(side, 2)
        macs += _inverted_bottleneck(before, side, inputs, width)
        local = _inverted_bottleneck(side, side, width, width)
        if stage < 2:
            macs += (depth - 1) * local
        else:
            macs += depth * (_relu_attention(side**2, width, config.head_dim) + local)
        inputs = width
    hidden, last = config.classifier
    return macs + linear(side**2, inputs, hidden) + linear(1, hidden, last) + linear(1, last, CLASSES)


def _inverted_bottleneck(before: int, after: int, inputs: int, outputs: int) -> int:
    """1x1 to four times the width on the side `before`, depthwise 3x3 that gives the side `after`, 1x1."""
    hidden = 4 * inputs
    return linear(before**2, inputs, hidden) + depthwise(after**2, hidden, 3) + linear(after**2, hidden, outputs)


def _relu_attention(tokens: int, dim: int, head_dim: int) -> int:
    """q, k, v as they are and aggregated over 5x5: twice the heads, in a head k^T v and q (k^T v).

    v has a column of ones more, which gives the normalisation.
    """
    aggregation = depthwise(tokens, 3 * dim, 5) + linear(tokens, head_dim, 3 * dim)  # 1x1 inside groups of head_dim
    products = 2 * (2 * dim) * tokens * (head_dim + 1)
    return linear(tokens, dim, 3 * dim) + aggregation + products + linear(tokens, 2 * dim, dim)


_VIG = {"vig_tiny_patch16_224": 192, "vig_small_patch16_224": 384, "vig_base_patch16_224": 768}

_VIG_H = {
    "vig_h_tiny_patch4_224": ViGHShape(96, 5),
    "vig_h_small_patch4_224": ViGHShape(96, 17),
    "vig_h_base_patch4_224": ViGHShape(128, 17),
}

_VIM = {"vim_tiny_patch16_224": 192, "vim_small_patch16_224": 384, "vim_base_patch16_224": 768}

_VRWKV = {"vrwkv_tiny_patch16_224": 192, "vrwkv_small_patch16_224": 384, "vrwkv_base_patch16_224": 768}

_EFFICIENT_VIT = {
    "efficientvit_b1": EfficientViT((16, 32, 64, 128, 256), (1, 2, 3, 3, 4), 16, (1536, 1600)),
    "efficientvit_b2": EfficientViT((24, 48, 96, 192, 384), (1, 3, 4, 4, 6), 32, (2304, 2560)),
    "efficientvit_b3": EfficientViT((32, 64, 128, 256, 512), (1, 4, 6, 6, 9), 32, (2304, 2560)),
}

FORMULAS = (
    formulas(_vig, _VIG)
    | formulas(_vig_h, _VIG_H)
    | formulas(_vim, _VIM)
    | formulas(_vrwkv, _VRWKV)
    | formulas(_efficient_vit, _EFFICIENT_VIT)
)
