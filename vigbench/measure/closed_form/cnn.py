"""Convolutional networks. A 1x1 convolution is a linear layer of every pixel."""

from typing import NamedTuple

from vigbench.measure.closed_form.products import CLASSES, ceil_div, conv, depthwise, formulas, linear, mlp

Depths = tuple[int, int, int, int]
Widths = tuple[int, int, int, int]


def _bottleneck(before: int, after: int, inputs: int, width: int, outputs: int, groups: int = 1) -> int:
    """1x1 on the side `before`, 3x3 that gives the side `after`, 1x1."""
    return linear(before**2, inputs, width) + conv(after**2, width, width, 3, groups) + linear(after**2, width, outputs)


def _resnet(depths: Depths, resolution: int) -> int:
    """arXiv 1512.03385, table 1, with the stride in the 3x3 (v1.5) as in timm's resnet.py."""
    side = ceil_div(resolution, 2)
    macs = conv(side**2, 3, 64, 7)
    side, inputs = ceil_div(side, 2), 64  # max pooling
    for stage, depth in enumerate(depths):
        width, outputs = 64 * 2**stage, 256 * 2**stage
        after = ceil_div(side, 2) if stage else side
        macs += _bottleneck(side, after, inputs, width, outputs) + linear(after**2, inputs, outputs)  # shortcut
        macs += (depth - 1) * _bottleneck(after, after, outputs, width, outputs)
        side, inputs = after, outputs
    return macs + linear(1, inputs, CLASSES)


class RegNetY(NamedTuple):
    """The shape that a design's parameters come to; `group` is the width of a group of the 3x3."""

    depths: Depths
    widths: Widths
    group: int


def _regnet_y(config: RegNetY, resolution: int) -> int:
    """arXiv 2003.13678, section 3 and figure 18; squeeze and excitation to a quarter of the block's inputs."""
    side, inputs = ceil_div(resolution, 2), 32
    macs = conv(side**2, 3, inputs, 3)
    for depth, width in zip(config.depths, config.widths, strict=True):
        after, groups = ceil_div(side, 2), width // config.group
        macs += _bottleneck(side, after, inputs, width, width, groups) + linear(after**2, inputs, width)  # shortcut
        macs += mlp(1, width, inputs // 4)
        macs += (depth - 1) * (_bottleneck(after, after, width, width, width, groups) + mlp(1, width, width // 4))
        side, inputs = after, width
    return macs + linear(1, inputs, CLASSES)


class Stages(NamedTuple):
    """Blocks and width of each stage."""

    depths: Depths
    widths: Widths


def _convnext(config: Stages, resolution: int) -> int:
    """arXiv 2201.03545, section 2: unpadded patches of 4x4, then of 2x2 between stages."""
    side, inputs, patch, macs = resolution, 3, 4, 0
    for depth, width in zip(config.depths, config.widths, strict=True):
        side //= patch
        macs += conv(side**2, inputs, width, patch)
        macs += depth * (depthwise(side**2, width, 7) + mlp(side**2, width, 4 * width))
        inputs, patch = width, 2
    return macs + linear(1, inputs, CLASSES)


def _mamba_out(config: Stages, resolution: int) -> int:
    """arXiv 2405.07992, section 4: gated blocks of hidden width 8/3, a 7x7 on `width` of its channels; an MLP head."""
    side, first = ceil_div(resolution, 2), config.widths[0]
    macs = conv(side**2, 3, first // 2, 3)
    inputs = first // 2
    for depth, width in zip(config.depths, config.widths, strict=True):
        side = ceil_div(side, 2)
        macs += conv(side**2, inputs, width, 3)
        hidden = 8 * width // 3
        gated = linear(side**2, width, 2 * hidden) + depthwise(side**2, width, 7) + linear(side**2, hidden, width)
        macs += depth * gated
        inputs = width
    return macs + linear(1, inputs, 4 * inputs) + linear(1, 4 * inputs, CLASSES)


_RESNET: dict[str, Depths] = {
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}

_REGNET_Y = {
    "regnety_040": RegNetY((2, 6, 12, 2), (128, 192, 512, 1088), 64),
    "regnety_080": RegNetY((2, 4, 10, 1), (168, 448, 896, 2016), 56),
    "regnety_160": RegNetY((2, 4, 11, 1), (224, 448, 1232, 3024), 112),
}

_CONVNEXT = {
    "convnext_tiny": Stages((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": Stages((3, 3, 27, 3), (96, 192, 384, 768)),
    "convnext_base": Stages((3, 3, 27, 3), (128, 256, 512, 1024)),
}

_MAMBA_OUT = {
    "mambaout_tiny": Stages((3, 3, 9, 3), (96, 192, 384, 576)),
    "mambaout_small": Stages((3, 4, 27, 3), (96, 192, 384, 576)),
    "mambaout_base": Stages((3, 4, 27, 3), (128, 256, 512, 768)),
}

FORMULAS = (
    formulas(_resnet, _RESNET)
    | formulas(_regnet_y, _REGNET_Y)
    | formulas(_convnext, _CONVNEXT)
    | formulas(_mamba_out, _MAMBA_OUT)
)
