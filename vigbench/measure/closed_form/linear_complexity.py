"""Models whose token mixing is linear in the number of tokens; ViG is in a file of its own."""

from typing import NamedTuple

from vigbench.measure.closed_form.products import (
    CLASSES,
    ceil_div,
    conv,
    depthwise,
    formulas,
    linear,
    mlp,
)


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


_VIM = {"vim_tiny_patch16_224": 192, "vim_small_patch16_224": 384, "vim_base_patch16_224": 768}

_VRWKV = {"vrwkv_tiny_patch16_224": 192, "vrwkv_small_patch16_224": 384, "vrwkv_base_patch16_224": 768}

_EFFICIENT_VIT = {
    "efficientvit_b1": EfficientViT((16, 32, 64, 128, 256), (1, 2, 3, 3, 4), 16, (1536, 1600)),
    "efficientvit_b2": EfficientViT((24, 48, 96, 192, 384), (1, 3, 4, 4, 6), 32, (2304, 2560)),
    "efficientvit_b3": EfficientViT((32, 64, 128, 256, 512), (1, 4, 6, 6, 9), 32, (2304, 2560)),
}

FORMULAS = formulas(_vim, _VIM) | formulas(_vrwkv, _VRWKV) | formulas(_efficient_vit, _EFFICIENT_VIT)
