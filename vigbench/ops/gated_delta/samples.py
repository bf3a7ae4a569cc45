"""What the gated delta rule is checked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.draws import unit_length
from vigbench.ops.gated_delta import bidirectional_gated_delta, gated_delta
from vigbench.ops.sample import LENGTHS, Draw, Sample

VIG, PAPER = (32, 64), (128, 128)  # key and value channels of a head
ODD = ((16, 16), (64, 64), (16, 128), (20, 24), (2, 3), (256, 64))
DECAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of a normal and a uniform sample
    "as initialised": lambda n, _: F.logsigmoid(n) / 16,
    "no decay": lambda n, _: torch.zeros_like(n),
    "moderate": lambda _, u: -3 * u,
    "-20 a step": lambda n, _: torch.full_like(n, -20.0),
    "-20 and -800 among mild ones": lambda n, _: torch.where(
        n > 1, -20.0, torch.where(n < -1, -800.0, F.logsigmoid(n) / 16)
    ),
}
STRENGTHS: dict[str, Callable[[Tensor], Tensor]] = {  # of a normal sample
    "sigmoid": torch.sigmoid,
    "near 0 and 1": lambda n: torch.sigmoid(12 * n),
    "all": torch.ones_like,
}


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Every decay, strength, shape and length, both directions and each."""
    draw = Draw(device, dtype)
    for decay in DECAYS:
        yield _sample(draw, decay, VIG, 70)
    yield _sample(draw, "as initialised", VIG, 70, infinite=True)
    for strength in STRENGTHS:
        yield _sample(draw, "as initialised", VIG, 70, strength=strength)
    yield _sample(draw, "as initialised", VIG, 70, alike=True)
    for dims in (*ODD, PAPER):
        yield _sample(draw, "as initialised", dims, 70, heads=2, batch=1)
    for length in LENGTHS:
        yield _sample(draw, "moderate", (16, 32), length, heads=2, batch=1)
    for reverse in (False, True):
        yield _one_direction(draw, reverse)


def _qkv(
    draw: Draw, dims: tuple[int, int], length: int, heads: int, batch: int, alike: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """q and v as slices of one tensor, as a model's projections give them; keys of unit length, or all nearly alike."""
    key, value = dims
    q, k, v = (
        x.unflatten(-1, (heads, -1))
        for x in draw.slices(batch, length, parts=[heads * dim for dim in (key, key, value)])
    )
    if alike:
        k = k[:, :1] + 0.1 * k
    return q, unit_length(k.float()).to(draw.dtype), v


def _sample(
    draw: Draw,
    decay: str,
    dims: tuple[int, int],
    length: int,
    heads: int = 3,
    batch: int = 2,
    strength: str = "sigmoid",
    infinite: bool = False,
    alike: bool = False,
) -> Sample:
    qkv = _qkv(draw, dims, length, heads, batch, alike)
    both = (batch, length, 2, heads)
    g = DECAYS[decay](draw.normal(*both), draw.uniform(*both))
    if infinite:
        g = torch.where(draw.uniform(*both) < 0.1, -torch.inf, g)
    beta = STRENGTHS[strength](draw.normal(*both))
    # the gradient of a transposed result: what a model's next layer may hand back
    grad = draw.rounded(batch, heads, length, dims[1]).transpose(1, 2)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd = inputs
        return bidirectional_gated_delta(q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd, implementation=implementation)

    kind = "some -inf" if infinite else decay
    name = f"{heads}x{dims[0]}x{dims[1]}, {length} tokens, {kind}, strengths {strength}{', keys alike' * alike}"
    names = ("q", "k", "v", "g_fwd", "g_bwd", "beta_fwd", "beta_bwd")
    gates = [x for pair in (g, beta) for x in pair.to(draw.dtype).unbind(2)]
    return Sample(name, (*qkv, *gates), names, grad, run, infinite=infinite)


def _one_direction(draw: Draw, reverse: bool) -> Sample:
    q, k, v = _qkv(draw, VIG, 70, 2, 1)
    g, beta = (-draw.uniform(1, 70, 2)).to(draw.dtype), draw.uniform(1, 70, 2).to(draw.dtype)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, g, beta = inputs
        return gated_delta(q, k, v, g, beta, reverse=reverse, implementation=implementation)

    name = f"{'backward' if reverse else 'forward'} direction alone"
    return Sample(name, (q, k, v, g, beta), ("q", "k", "v", "g", "beta"), draw.rounded(*v.shape), run)
