"""What gated linear attention is checked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.gla import (
    bidirectional_gla,
    bidirectional_gla_from_logits,
    bidirectional_gla_low_rank,
    gla,
    gla_low_rank,
)
from vigbench.ops.sample import Draw, Sample

VIG, VIG_H = (32, 64), (16, 32)
ODD = ((16, 16), (64, 64), (128, 16), (16, 128), (20, 24), (2, 3))
LENGTHS = (1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 196, 511, 513, 1025)  # around the ends of chunks and segments
NORMALIZER = 16.0
GATE_SLACK = 2.5  # logits of low-rank activations are sums of their own
DECAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of a normal and a uniform sample
    "as initialised": lambda n, _: F.logsigmoid(n) / NORMALIZER,
    "as trained": lambda n, _: F.logsigmoid(4 * n - 2) / NORMALIZER,
    "no decay": lambda n, _: torch.zeros_like(n),
    "moderate": lambda _, u: -3 * u,
    "at the edge of factoring": lambda n, _: torch.full_like(n, -0.12),
    "-20 a step": lambda n, _: torch.full_like(n, -20.0),
    "-20 and -800 among mild ones": lambda n, _: torch.where(
        n > 2, -20.0, torch.where(n < -2, -800.0, F.logsigmoid(n) / NORMALIZER)
    ),
}


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Every decay, shape and length, each direction, and gates in all their forms."""
    draw = Draw(device, dtype)
    for decay in DECAYS:
        yield _sample(draw, decay, VIG, 70)
    yield _sample(draw, "as trained", VIG, 40, infinite=True)
    for dims in ODD:
        yield _sample(draw, "as trained", dims, 70)
    for length in LENGTHS:
        yield _sample(draw, "as trained", VIG_H, length, heads=2, batch=1)
    for reverse in (False, True):
        yield _one_direction(draw, reverse)
    yield _from_logits(draw)
    yield _low_rank(draw, VIG)
    yield _low_rank(draw, VIG_H)
    for reverse in (False, True):
        yield _low_rank_of_one(draw, reverse)


def _projected(draw: Draw, dims: tuple[int, int], length: int, heads: int, batch: int) -> list[Tensor]:
    key, value = dims
    parts = draw.slices(batch, length, parts=[heads * dim for dim in (key, key, value)])
    return [x.unflatten(-1, (heads, -1)) for x in parts]


def _gates(draw: Draw, decay: str, shape: tuple[int, ...], infinite: bool) -> list[Tensor]:
    both = (*shape[:2], 2, *shape[2:])
    g = DECAYS[decay](draw.normal(*both), draw.uniform(*both))
    if infinite:
        g = torch.where(draw.uniform(*both) < 0.02, -torch.inf, g)
    return list(g.to(draw.dtype).unbind(2))


def _sample(
    draw: Draw, decay: str, dims: tuple[int, int], length: int, heads: int = 3, batch: int = 2, infinite: bool = False
) -> Sample:
    q, k, v = _projected(draw, dims, length, heads, batch)
    gates = _gates(draw, decay, tuple(q.shape), infinite)
    name = f"{heads}x{dims[0]}x{dims[1]}, {length} tokens, {'some -inf' if infinite else decay}"
    names = ("q", "k", "v", "g_fwd", "g_bwd")
    # the gradient of a transposed result: what a model's next layer may hand back
    grad = draw.rounded(batch, heads, length, dims[1]).transpose(1, 2)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, g_fwd, g_bwd = inputs
        return bidirectional_gla(q, k, v, g_fwd, g_bwd, implementation=implementation)

    return Sample(name, (q, k, v, *gates), names, grad, run, infinite=infinite)


def _one_direction(draw: Draw, reverse: bool) -> Sample:
    q, k, v = _projected(draw, VIG, 70, 2, 1)
    g = _gates(draw, "as trained", tuple(q.shape), False)[0]

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, g = inputs
        return gla(q, k, v, g, reverse=reverse, implementation=implementation)

    name = f"{'backward' if reverse else 'forward'} direction alone"
    return Sample(name, (q, k, v, g), ("q", "k", "v", "g"), draw.rounded(*v.shape), run)


def _from_logits(draw: Draw) -> Sample:
    q, k, v = _projected(draw, VIG, 70, 2, 1)
    logits = [(4 * draw.normal(*q.shape) - 2).to(draw.dtype) for _ in range(2)]

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, x_fwd, x_bwd = inputs
        return bidirectional_gla_from_logits(q, k, v, x_fwd, x_bwd, NORMALIZER, implementation=implementation)

    names = ("q", "k", "v", "x_fwd", "x_bwd")
    return Sample("gates from logits", (q, k, v, *logits), names, draw.rounded(*v.shape), run, GATE_SLACK)


def _low_rank(draw: Draw, dims: tuple[int, int]) -> Sample:
    heads, rank, key = 2, 16, dims[0]
    q, k, v = _projected(draw, dims, 200, heads, 1)
    a, weight = draw.rounded(1, 200, rank), (draw.normal(2, heads, key, rank) / 4).to(draw.dtype)
    bias = draw.rounded(2, heads, key)
    name = f"gates from low-rank activations, {heads}x{key}x{dims[1]}"
    names = ("q", "k", "v", "a", "weight", "bias")
    return Sample(name, (q, k, v, a, weight, bias), names, draw.rounded(*v.shape), _run_low_rank, GATE_SLACK)


def _run_low_rank(implementation: str, *inputs: Any) -> Tensor:
    q, k, v, a, weight, bias = inputs
    return bidirectional_gla_low_rank(q, k, v, a, weight, bias, NORMALIZER, implementation=implementation)


def _low_rank_of_one(draw: Draw, reverse: bool) -> Sample:
    heads, rank, key = 2, 16, VIG[0]
    q, k, v = _projected(draw, VIG, 100, heads, 1)
    a, weight = draw.rounded(1, 100, rank), (draw.normal(heads, key, rank) / 4).to(draw.dtype)
    bias = draw.rounded(heads, key)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, a, weight, bias = inputs
        return gla_low_rank(q, k, v, a, weight, bias, NORMALIZER, reverse=reverse, implementation=implementation)

    name = f"{'backward' if reverse else 'forward'} direction alone, gates from low-rank activations"
    names = ("q", "k", "v", "a", "weight", "bias")
    return Sample(name, (q, k, v, a, weight, bias), names, draw.rounded(*v.shape), run, GATE_SLACK)
