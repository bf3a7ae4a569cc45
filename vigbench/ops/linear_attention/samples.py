"""What linear attention is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.draws import positive_feature
from vigbench.ops.linear_attention import linear_attention
from vigbench.ops.sample import Draw, Sample

DIMS = ((32, 64), (16, 32), (64, 64), (128, 16), (20, 24), (2, 3))
LENGTHS = (2, 16, 17, 196, 257, 1025)
NAMES = ("q", "k", "v")


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Shapes and lengths, with and without the norm."""
    draw = Draw(device, dtype)
    for normalised in (False, True):
        for dims in DIMS:
            yield _sample(draw, dims, 70, normalised)
        for length in LENGTHS:
            yield _sample(draw, DIMS[1], length, normalised)
    yield _sample(draw, DIMS[0], 1, False)  # of one token alone the norm's gradients of q and k are zero


def _sample(draw: Draw, dims: tuple[int, int], length: int, normalised: bool) -> Sample:
    batch, heads, (key, value) = 2, 3, dims
    q, k, v = draw.slices(batch, length, parts=[heads * dim for dim in (key, key, value)])
    if normalised:
        q, k = positive_feature(q), positive_feature(k)
    inputs = [x.unflatten(-1, (heads, -1)) for x in (q, k, v)]
    # the gradient of a transposed result: what a model's next layer may hand back
    grad = draw.rounded(batch, heads, length, value).transpose(1, 2)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v = inputs
        return linear_attention(q, k, v, normalised, implementation=implementation)

    name = f"{heads}x{key}x{value}, {length} tokens{', normalised' if normalised else ''}"
    return Sample(name, inputs, NAMES, grad, run)
