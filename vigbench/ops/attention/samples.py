"""What softmax attention is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.registry import get_implementation
from vigbench.ops.sample import Draw, Sample

LENGTHS = (1, 64, 197, 1025)
SCALE = 0.125


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """One token and more than a tile of them, with and without a causal mask."""
    draw = Draw(device, dtype)
    for length in LENGTHS:
        for causal in (False, True):
            yield _sample(draw, length, causal)


def _sample(draw: Draw, length: int, causal: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        out: Tensor = get_implementation("attention", implementation).load()(*given, SCALE, causal)
        return out

    qkv = [x.unflatten(-1, (3, 64)) for x in draw.slices(2, length, parts=(192, 192, 192))]
    name = f"3x64x64, {length} tokens{', causal' if causal else ''}"
    return Sample(name, qkv, ("q", "k", "v"), draw.rounded(2, length, 3, 64), run)
