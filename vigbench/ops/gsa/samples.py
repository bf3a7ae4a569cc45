"""What gated slot attention is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.gla.samples import DECAYS
from vigbench.ops.gsa import bidirectional_gsa, gsa
from vigbench.ops.sample import Draw, Sample

VIG = (32, 64, 32)  # key and value channels, slots
ODD = ((16, 32, 16), (64, 64, 64), (128, 16, 20), (16, 128, 128), (20, 24, 200), (2, 3, 2))
LENGTHS = (1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 196, 511, 513, 1025)  # around the ends of chunks and segments


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Every decay, shape and length, each direction alone, and s left out."""
    draw = Draw(device, dtype)
    for decay in DECAYS:
        yield _sample(draw, decay, VIG, 70)
    yield _sample(draw, "as trained", VIG, 40, infinite=True)
    yield _sample(draw, "as trained", VIG, 70, written=False)
    for dims in ODD:
        yield _sample(draw, "as trained", dims, 70)
    for length in LENGTHS:
        yield _sample(draw, "as trained", (16, 32, 16), length, heads=2, batch=1)
    for reverse in (False, True):
        yield _one_direction(draw, reverse)


def _projected(draw: Draw, dims: tuple[int, int, int], length: int, heads: int, batch: int) -> list[Tensor]:
    key, value, _ = dims
    parts = draw.slices(batch, length, parts=[heads * dim for dim in (key, key, value)])
    return [x.unflatten(-1, (heads, -1)) for x in parts]


def _slots(draw: Draw, decay: str, shape: tuple[int, ...], infinite: bool) -> tuple[list[Tensor], list[Tensor]]:
    """How strongly tokens are written, and log-decays, of both directions."""
    both = (*shape[:2], 2, *shape[2:])
    g = DECAYS[decay](draw.normal(*both), draw.uniform(*both))
    if infinite:
        g = torch.where(draw.uniform(*both) < 0.02, -torch.inf, g)
    return list(draw.uniform(*both).to(draw.dtype).unbind(2)), list(g.to(draw.dtype).unbind(2))


def _sample(
    draw: Draw,
    decay: str,
    dims: tuple[int, int, int],
    length: int,
    heads: int = 3,
    batch: int = 2,
    infinite: bool = False,
    written: bool = True,
) -> Sample:
    q, k, v = _projected(draw, dims, length, heads, batch)
    s, g = _slots(draw, decay, (batch, length, heads, dims[2]), infinite)
    name = f"{heads}x{dims[0]}x{dims[1]}, {dims[2]} slots, {length} tokens, {'some -inf' if infinite else decay}"
    # the gradient of a transposed result: what a model's next layer may hand back
    grad = draw.rounded(batch, heads, length, dims[1]).transpose(1, 2)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, s_fwd, s_bwd, g_fwd, g_bwd = inputs
        return bidirectional_gsa(q, k, v, s_fwd, s_bwd, g_fwd, g_bwd, implementation=implementation)

    inputs = (q, k, v, *(s if written else (None, None)), *g)
    names = ("q", "k", "v", "s_fwd", "s_bwd", "g_fwd", "g_bwd")
    return Sample(name if written else f"{name}, no s", inputs, names, grad, run, infinite=infinite)


def _one_direction(draw: Draw, reverse: bool) -> Sample:
    q, k, v = _projected(draw, VIG, 70, 2, 1)
    (s, _), (g, _) = _slots(draw, "as trained", (1, 70, 2, VIG[2]), False)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, s, g = inputs
        return gsa(q, k, v, s, g, reverse=reverse, implementation=implementation)

    name = f"{'backward' if reverse else 'forward'} direction alone"
    return Sample(name, (q, k, v, s, g), ("q", "k", "v", "s", "g"), draw.rounded(*v.shape), run)
