"""What the dilated convolutions are checked on.

x, weights and biases are small multiples of powers of two, so that the convolutions are exact in every precision: else
in half precision a rounding would carry some value over PReLU's corner, where the gradient jumps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.dilated_convs import dilated_convs
from vigbench.ops.sample import Draw, Sample, largest

BRANCHES = (1, 2, 3)
SHAPES = (  # images, channels, sides: GLIMS' and ragged ones, smaller than the dilation or than a tile, and one voxel
    (2, 3, (12, 12, 12)),
    (2, 8, (6, 6, 6)),
    (2, 2, (5, 17, 31)),
    (2, 1, (37, 9, 2)),
    (2, 2, (1, 2, 65)),
    (1, 1, (1, 1, 3)),
    (1, 2, (34, 1, 1)),
)


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Every shape, and volumes far from zero."""
    draw = Draw(device, dtype)
    for images, channels, sides in SHAPES:
        yield _sample(draw, images, channels, sides)
    yield _sample(draw, 2, 2, (9, 10, 11), offset=16)


def _sample(draw: Draw, images: int, channels: int, sides: tuple[int, ...], offset: int = 0) -> Sample:
    def whole(*shape: int, most: int) -> Tensor:
        return draw.normal(*shape).round().clamp(-most, most)

    def run(implementation: str, x: Tensor, *rest: Any) -> Tensor:
        weights, biases, norm_weights, norm_biases, slopes = (rest[n : n + 3] for n in range(0, 15, 3))
        return dilated_convs(x, weights, biases, norm_weights, norm_biases, slopes, implementation=implementation)

    x = whole(images, channels, *sides, most=2) + offset
    weights = [whole(channels, 1, 3, 3, 3, most=1) / 4 for _ in BRANCHES]
    biases = [whole(channels, most=2) for _ in BRANCHES]
    norms = [draw.normal(channels) / 4 + mean for mean in (1.0, 0.0) for _ in BRANCHES]
    slopes = [0.25 + draw.normal(1) / 8 for _ in BRANCHES]
    inputs = [one.to(draw.dtype) for one in (x, *weights, *biases, *norms, *slopes)]
    kinds = ("weight", "bias", "norm_weight", "norm_bias", "slope")
    names = ("x", *(f"{kind}{branch}" for kind in kinds for branch in BRANCHES))
    size = " x ".join(map(str, sides))
    name = f"{images} x {channels} channels, {size}{f', around {offset}' if offset else ''}"
    return Sample(name, inputs, names, draw.rounded(images, 3 * channels, *sides), run, scales=_scales)


def _scales(expected: Sequence[Tensor]) -> list[float]:
    """Some gradients come to zero, and are compared with what they are sums of.

    A bias's always does, and a slope's may: their terms are like those of the norms' biases. A weight's does where a
    volume is so small that one tap is all that sees it, which a norm undoes; other branches have more.
    """
    own = largest(expected)
    taps, terms = max(own[2:5]), max(own[11:14])
    return [own[0], own[1], *[taps] * 3, *[terms] * 3, *own[8:14], *[max(terms, slope) for slope in own[14:]]]
