"""What the start of a mixer is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.registry import get_implementation
from vigbench.ops.sample import Draw, Sample

EPS = 1e-6


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """ViG-T's width, odd ones and a wide one; grids that are narrower, or lower, than what a program takes."""
    draw = Draw(device, dtype)
    for rows, columns, dim in ((9, 6, 192), (1, 1, 40), (2, 19, 48), (19, 3, 24), (3, 4, 384)):
        for centred, act in ((False, True), (True, False)):
            yield _sample(draw, rows, columns, dim, centred, act)


def _sample(draw: Draw, rows: int, columns: int, dim: int, centred: bool, act: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        out: Tensor = get_implementation("norm_conv", implementation).load()(*given, EPS, act)
        return out

    grid = (2, rows, columns, dim)
    weight = (draw.normal(dim, 1, 3, 3) / 3).to(draw.dtype)
    inputs = (draw.rounded(*grid), draw.rounded(dim), draw.rounded(dim) if centred else None, weight)
    names = ("x", "norm_weight", "norm_bias", "weight")
    name = f"{rows} x {columns}, {dim} channels, {'LayerNorm' if centred else 'RMSNorm'}{', SiLU' if act else ''}"
    return Sample(name, inputs, names, draw.rounded(*grid), run)
