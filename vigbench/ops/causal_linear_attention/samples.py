"""What causal linear attention is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.causal_linear_attention import causal_linear_attention
from vigbench.ops.sample import Draw, Sample

DIMS = ((32, 64), (64, 64), (128, 16), (16, 128), (20, 24), (2, 3))
LENGTHS = (1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 196, 511, 513, 1025)  # around the ends of chunks and segments
NAMES = ("q", "k", "v")


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Shapes and lengths, both ways."""
    draw = Draw(device, dtype)
    for dims in DIMS:
        yield _sample(draw, dims, 70, False)
    for length in LENGTHS:
        yield _sample(draw, (16, 32), length, length % 2 == 0)
    yield _sample(draw, DIMS[0], 257, True)


def _sample(draw: Draw, dims: tuple[int, int], length: int, reverse: bool) -> Sample:
    batch, heads, (key, value) = 2, 3, dims
    parts = draw.slices(batch, length, parts=[heads * dim for dim in (key, key, value)])
    inputs = [x.unflatten(-1, (heads, -1)) for x in parts]
    # the gradient of a transposed result: what a model's next layer may hand back
    grad = draw.rounded(batch, heads, length, value).transpose(1, 2)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v = inputs
        return causal_linear_attention(q, k, v, reverse=reverse, implementation=implementation)

    name = f"{heads}x{key}x{value}, {length} tokens{', from the last' if reverse else ''}"
    return Sample(name, inputs, NAMES, grad, run)
