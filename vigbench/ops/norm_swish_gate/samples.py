"""What the norm and its gate are checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.registry import get_implementation
from vigbench.ops.sample import Draw, Sample

EPS = 1e-6


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """DiG's shapes and odd ones, with the gate as a tensor of its own and as a slice of a projection."""
    draw = Draw(device, dtype)
    for heads, dim, tokens in ((3, 64, 200), (3, 128, 40), (2, 32, 70), (3, 17, 33), (2, 128, 1)):
        for sliced in (False, True):
            yield _sample(draw, heads, dim, tokens, sliced)


def _sample(draw: Draw, heads: int, dim: int, tokens: int, sliced: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        out: Tensor = get_implementation("norm_swish_gate", implementation).load()(*given, EPS)
        return out

    width = heads * dim
    *_, gate = draw.slices(2, tokens, parts=(width, width) if sliced else (width,))
    inputs = draw.rounded(2, tokens, heads, dim), gate.unflatten(-1, (heads, dim)), draw.rounded(dim)
    name = f"{heads} heads of {dim}, {tokens} tokens{', sliced gate' if sliced else ''}"
    return Sample(name, inputs, ("o", "gate", "weight"), draw.rounded(2, tokens, heads, dim), run)
