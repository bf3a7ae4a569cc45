"""Plain transformers: one resolution throughout."""

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
    self_attention,
)


class ViT(NamedTuple):
    """Depth 12 and an MLP of 4 dim in all of them; `prefix` are class token and registers."""

    dim: int
    patch: int = 16
    prefix: int = 1
    classes: int = CLASSES


def _vit(config: ViT, resolution: int) -> int:
    """arXiv 2010.11929, table 1; timm's vision_transformer.py drops pixels beyond the last whole patch."""
    dim = config.dim
    patches = (resolution // config.patch) ** 2
    tokens = patches + config.prefix
    block = self_attention(tokens, tokens, dim) + mlp(tokens, dim, 4 * dim)
    return conv(patches, 3, dim, config.patch) + 12 * block + linear(1, dim, config.classes)


class XCiT(NamedTuple):
    """An MLP of 4 dim in all of them, and 2 layers of class attention after `depth` blocks."""

    dim: int
    depth: int
    heads: int


def _xcit(config: XCiT, resolution: int) -> int | None:
    """arXiv 2106.09681, section 3 and table 1; timm's xcit.py, which takes multiples of 16."""
    if resolution % 16:
        return None
    dim = config.dim
    side, inputs, macs = resolution, 3, 0
    for width in (dim // 8, dim // 4, dim // 2, dim):  # stem: 3x3 of stride 2
        side = ceil_div(side, 2)
        macs += conv(side**2, inputs, width, 3)
        inputs = width
    tokens = side**2
    macs += linear(tokens, 64, dim)  # position encoding: sines and cosines of 32 frequencies, projected
    # cross-covariance attention: in every head, channels attend to channels over all tokens
    cross_covariance = linear(tokens, dim, 4 * dim) + attention(dim, dim // config.heads, tokens)
    local_patch_interaction = 2 * depthwise(tokens, dim, 3)
    macs += config.depth * (cross_covariance + local_patch_interaction + mlp(tokens, dim, 4 * dim))
    macs += 2 * _class_attention(tokens + 1, dim)
    return macs + linear(1, dim, CLASSES)


def _class_attention(tokens: int, dim: int) -> int:
    """arXiv 2103.17239, section 3: the class token alone asks, is projected and goes through the MLP."""
    keys_and_values = 2 * linear(tokens, dim, dim)
    query_and_output = 2 * linear(1, dim, dim)
    return keys_and_values + query_and_output + attention(1, tokens, dim) + mlp(1, dim, 4 * dim)


# DeiT (arXiv 2012.12877, table 1) without distillation has ViT's shape; DINOv2 with registers: arXiv 2309.16588
_VIT = {
    "deit_tiny_patch16_224": ViT(192),
    "deit_small_patch16_224": ViT(384),
    "deit_base_patch16_224": ViT(768),
    "vit_tiny_patch16_224": ViT(192),
    "vit_small_patch16_224": ViT(384),
    "vit_base_patch16_224": ViT(768),
    "vit_small_patch14_reg4_dinov2": ViT(384, patch=14, prefix=5, classes=0),
}

_XCIT = {
    "xcit_tiny_12_p16_224": XCiT(192, 12, 4),
    "xcit_small_12_p16_224": XCiT(384, 12, 8),
    "xcit_small_24_p16_224": XCiT(384, 24, 8),
    "xcit_medium_24_p16_224": XCiT(512, 24, 8),
}

FORMULAS = formulas(_vit, _VIT) | formulas(_xcit, _XCIT)
