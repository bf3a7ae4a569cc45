"""What the MLP is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.registry import get_implementation
from vigbench.ops.sample import Draw, Sample

EPS = 1e-6


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """ViG-T's widths, odd ones and ones that take more than one kernel; both norms, with and without the stream."""
    draw = Draw(device, dtype)
    for dim, hidden, tokens in ((192, 512, 150), (48, 128, 1), (40, 72, 33), (384, 160, 20)):
        for centred, residual in ((False, True), (True, False)):
            yield _sample(draw, dim, hidden, tokens, centred, residual)


def _sample(draw: Draw, dim: int, hidden: int, tokens: int, centred: bool, residual: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        out: Tensor = get_implementation("norm_swiglu", implementation).load()(*given, EPS, residual)
        return out

    weights = (
        (draw.normal(2 * hidden, dim) * dim**-0.5).to(draw.dtype),
        (draw.normal(dim, hidden) * hidden**-0.5).to(draw.dtype),
    )
    inputs = (draw.rounded(2, tokens, dim), draw.rounded(dim), draw.rounded(dim) if centred else None, *weights)
    names = ("x", "norm_weight", "norm_bias", "gate_weight", "down_weight")
    name = f"{dim} x {hidden}, {tokens} tokens, {'LayerNorm' if centred else 'RMSNorm'}"
    return Sample(name + (", added" if residual else ""), inputs, names, draw.rounded(2, tokens, dim), run)
