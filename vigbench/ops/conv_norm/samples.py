"""What the first convolution is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.registry import get_implementation
from vigbench.ops.sample import Draw, Sample

EPS = 1e-6


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """ViG's window and width, other ones, and images whose channels lie last in memory."""
    draw = Draw(device, dtype)
    for sides, dim, size, stride, last in (
        ((40, 56), 96, 9, 8, False),
        ((31, 17), 20, 3, 2, True),
        ((16, 16), 384, 9, 8, False),
    ):
        yield _sample(draw, sides, dim, size, stride, last)


def _sample(draw: Draw, sides: tuple[int, int], dim: int, size: int, stride: int, last: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        out: Tensor = get_implementation("conv_norm", implementation).load()(*given, stride, 1, EPS, True)
        return out

    shape = (2, 3, *sides)
    images = draw.rounded(*shape)
    images = images.contiguous(memory_format=torch.channels_last) if last else images
    inner = 3 * size * size
    weight = (draw.normal(dim, 3, size, size) * inner**-0.5).to(draw.dtype)
    inputs = (images, weight, *(draw.rounded(dim) for _ in range(3)))
    rows, columns = ((side + 2 - size) // stride + 1 for side in sides)
    name = f"{sides[0]} x {sides[1]}, windows of {size}, {dim} channels{', channels-last' if last else ''}"
    names = ("images", "weight", "bias", "norm_weight", "norm_bias")
    return Sample(name, inputs, names, draw.rounded(2, rows, columns, dim), run)
