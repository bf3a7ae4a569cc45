"""What the gated norm is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.registry import get_implementation
from vigbench.ops.sample import Draw, Sample

EPS = 1e-6


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """ViG's shapes and odd ones, with and without the activation."""
    draw = Draw(device, dtype)
    for dim, rows in ((64, 200), (32, 70), (17, 33), (128, 1)):
        for act in (False, True):
            yield _sample(draw, dim, rows, act)


def _sample(draw: Draw, dim: int, rows: int, act: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        o, local, gate, *weights = given
        compute = get_implementation("gated_norm", implementation).load()
        out: Tensor = compute(o, local, gate + 0, *weights, EPS, act)  # a leaf does not allow to be overwritten
        return out

    inputs = (*(draw.rounded(2, rows, 3, dim) for _ in range(3)), draw.rounded(dim), draw.rounded(dim))
    names = ("o", "local", "gate", "o_weight", "local_weight")
    name = f"{dim} channels, {rows} tokens{', SiLU' if act else ''}"
    return Sample(name, inputs, names, draw.rounded(2, rows, 3, dim), run)
