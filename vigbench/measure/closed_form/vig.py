"""ViG and ViG-H (arXiv 2405.18425), also around other operators than gated linear attention."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from vigbench.measure.closed_form.products import (
    CLASSES,
    ceil_div,
    conv,
    depthwise,
    formulas,
    gla_scan,
    gsa_scan,
    linear,
    round_up,
    ssd_scan,
)
from vigbench.suites.arguments import read_args, with_args
from vigbench.suites.shape import Shape

MixerFormula = Callable[[int, Shape], int]
"""Gates and scans of both directions, of so many tokens."""

GATE_RANK = 16


def _narrow(tokens: int, dim: int, outputs: int) -> int:
    """A number for each output through a layer of few channels."""
    return linear(tokens, dim, GATE_RANK) + linear(tokens, GATE_RANK, outputs)


def _gla(tokens: int, shape: Shape) -> int:
    """A log-decay for each key channel and direction (arXiv 2312.06635, section 4.4)."""
    return _narrow(tokens, _width(shape), 2 * shape.heads * shape.key_dim) + 2 * gla_scan(tokens, shape)


def _gsa(tokens: int, shape: Shape) -> int:
    """A log-decay for each slot, of which there are as many as key channels (arXiv 2409.07146, section 3)."""
    slots = shape.key_dim
    return _narrow(tokens, _width(shape), 2 * shape.heads * slots) + 2 * gsa_scan(tokens, shape, slots)


def _regla(tokens: int, shape: Shape) -> int:
    """Two gates for one of GLA (arXiv 2502.01578, section 3); what they are made into counts nothing."""
    return _narrow(tokens, _width(shape), 4 * shape.heads * shape.key_dim) + 2 * gla_scan(tokens, shape)


def _retention(tokens: int, shape: Shape) -> int:
    """No gates (arXiv 2307.08621, section 2.1)."""
    return 2 * gla_scan(tokens, shape)


def _ssd(tokens: int, shape: Shape) -> int:
    """A step for each head and direction (arXiv 2405.21060, section 2)."""
    return linear(tokens, _width(shape), 2 * shape.heads) + 2 * ssd_scan(tokens, shape)


def _width(shape: Shape) -> int:
    return shape.heads * shape.value_dim


_MIXERS: dict[str, MixerFormula] = {"gla": _gla, "gsa": _gsa, "regla": _regla, "retention": _retention, "ssd": _ssd}


def _mixer(tokens: int, dim: int, value_dim: int, kind: str) -> int:
    """ViG's mixer, section 3: keys of half the width."""
    keys, heads = dim // 2, dim // value_dim
    projections = linear(tokens, dim, 2 * keys + dim) + 2 * linear(tokens, dim, dim)  # q, k, v; output gate and output
    return depthwise(tokens, dim, 3) + projections + _MIXERS[kind](tokens, Shape(heads, keys // heads, value_dim))


def _swiglu(tokens: int, dim: int, multiple: int) -> int:
    """Gate, up and down, of hidden width 8/3 dim rounded up to a multiple."""
    return 3 * linear(tokens, dim, round_up(8 * dim // 3, multiple))


class ViGShape(NamedTuple):
    """Width, and what its mixers compute."""

    dim: int
    mixer: str = "gla"


def _vig(shape: ViGShape, resolution: int) -> int:
    """Settings as in the released code: 9x9 of stride 8 padded by 1, 3x3 of stride 2, 12 blocks, values of 64."""
    dim, half = shape.dim, (resolution + 2 - 9) // 8 + 1
    side = ceil_div(half, 2)
    stem = conv(half**2, 3, dim // 2, 9) + conv(side**2, dim // 2, dim, 3)
    block = _mixer(side**2, dim, 64, shape.mixer) + _swiglu(side**2, dim, multiple=256)
    return stem + 12 * block + linear(1, dim, CLASSES)


class ViGHShape(NamedTuple):
    """Width of the first of four stages, doubled at each of the next, and the blocks of the third; others have 2."""

    dim: int
    third: int


def _vig_h(config: ViGHShape, resolution: int) -> int:
    """Settings as in the released code: 3x3 of stride 2, two as the stem, one between stages, values of 32."""
    side, inputs = ceil_div(resolution, 2), config.dim // 2
    macs = conv(side**2, 3, inputs, 3)
    for stage, depth in enumerate((2, 2, config.third, 2)):
        side, dim = ceil_div(side, 2), config.dim * 2**stage
        macs += conv(side**2, inputs, dim, 3)
        macs += depth * (_mixer(side**2, dim, 32, "gla") + _swiglu(side**2, dim, multiple=32))
        inputs = dim
    return macs + linear(1, inputs, CLASSES)


_VIG = {"vig_tiny_patch16_224": 192, "vig_small_patch16_224": 384, "vig_base_patch16_224": 768}

_VIG_H = {
    "vig_h_tiny_patch4_224": ViGHShape(96, 5),
    "vig_h_small_patch4_224": ViGHShape(96, 17),
    "vig_h_base_patch4_224": ViGHShape(128, 17),
}

FORMULAS = formulas(_vig, {name: ViGShape(dim) for name, dim in _VIG.items()}) | formulas(_vig_h, _VIG_H)

_MIXED = {
    with_args(name, read_args({"mixer": mixer})): ViGShape(dim, mixer)
    for (name, dim), mixer in product(_VIG.items(), _MIXERS)
}
WITH_MIXERS = formulas(_vig, _MIXED)
"""By the names of models with that argument."""
