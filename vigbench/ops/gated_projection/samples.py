"""What the end of a mixer is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.registry import get_implementation
from vigbench.ops.sample import Draw, Sample

EPS = 1e-6


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """ViG-T's widths, odd ones and a wide one, with and without the activation and the stream."""
    draw = Draw(device, dtype)
    for heads, head, dim, tokens in ((3, 64, 192, 150), (3, 17, 40, 33), (2, 32, 64, 1), (6, 64, 384, 20)):
        for act, residual in ((True, True), (False, False)):
            yield _sample(draw, heads, head, dim, tokens, act, residual)


def _sample(draw: Draw, heads: int, head: int, dim: int, tokens: int, act: bool, residual: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        out: Tensor = get_implementation("gated_projection", implementation).load()(*given, EPS, act)
        return out

    width = heads * head
    *_, gate = draw.slices(2, tokens, parts=(width, 16, width))  # of a projection, as the model has it
    inputs = (
        *(draw.rounded(2, tokens, heads, head) for _ in range(2)),
        gate.unflatten(-1, (heads, head)),
        draw.rounded(width),
        draw.rounded(head),
        draw.rounded(head),
        (draw.normal(dim, width) * width**-0.5).to(draw.dtype),
        draw.rounded(2, tokens, dim) if residual else None,
    )
    names = ("o", "local", "gate", "gate_bias", "o_weight", "local_weight", "weight", "residual")
    name = f"{heads} heads of {head}, {tokens} tokens, {dim} channels{', SiLU' if act else ''}"
    return Sample(name + (", added" if residual else ""), inputs, names, draw.rounded(2, tokens, dim), run)
