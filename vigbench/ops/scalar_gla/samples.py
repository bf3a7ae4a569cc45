"""What scalar-decay linear attention, retention and SSD are checked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.draws import ssd_rate, ssd_step
from vigbench.ops.sample import LENGTHS, Draw, Sample
from vigbench.ops.scalar_gla import bidirectional_retention, bidirectional_scalar_gla, retention, scalar_gla, ssd

VIG, MAMBA, RETNET = (32, 64), (128, 64), (256, 512)  # key and value channels of a head
ODD = ((16, 16), (64, 64), (16, 128), (20, 24), (2, 3))
SSD_SLACK = 2.5  # dt x and dt a are rounded, and dv on its way to dt
DECAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of a normal and a uniform sample
    "as initialised": lambda n, _: F.logsigmoid(n) / 16,
    "no decay": lambda n, _: torch.zeros_like(n),
    "moderate": lambda _, u: -3 * u,
    "-20 a step": lambda n, _: torch.full_like(n, -20.0),
    "-20 and -800 among mild ones": lambda n, _: torch.where(
        n > 1, -20.0, torch.where(n < -1, -800.0, F.logsigmoid(n) / 16)
    ),
}


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Every decay, shape and length, each direction, decays of heads, and SSD with and without groups."""
    draw = Draw(device, dtype)
    for decay in DECAYS:
        yield _sample(draw, decay, VIG, 70)
    yield _sample(draw, "as initialised", VIG, 70, infinite=True)
    for dims in (*ODD, MAMBA, RETNET):
        yield _sample(draw, "as initialised", dims, 70, heads=2, batch=1)
    for length in LENGTHS:
        yield _sample(draw, "moderate", (16, 32), length, heads=2, batch=1)
    for reverse in (False, True):
        yield _one_direction(draw, reverse)
        yield _decays_of_heads(draw, reverse)
        yield _ssd(draw, reverse, heads=4, groups=2)
    yield _retention(draw)
    yield _ssd(draw, False, heads=3, groups=1, skip=False)
    yield _ssd(draw, False, heads=2, groups=2, rate=80.0)


def _qkv(draw: Draw, dims: tuple[int, int], length: int, heads: int, batch: int) -> list[Tensor]:
    """Slices of one tensor, as a model's projections give them."""
    key, value = dims
    parts = draw.slices(batch, length, parts=[heads * dim for dim in (key, key, value)])
    return [x.unflatten(-1, (heads, -1)) for x in parts]


def _sample(
    draw: Draw, decay: str, dims: tuple[int, int], length: int, heads: int = 3, batch: int = 2, infinite: bool = False
) -> Sample:
    inputs = _qkv(draw, dims, length, heads, batch)
    both = (batch, length, 2, heads)
    g = DECAYS[decay](draw.normal(*both), draw.uniform(*both))
    if infinite:
        g = torch.where(draw.uniform(*both) < 0.1, -torch.inf, g)
    # the gradient of a transposed result: what a model's next layer may hand back
    grad = draw.rounded(batch, heads, length, dims[1]).transpose(1, 2)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, g_fwd, g_bwd = inputs
        return bidirectional_scalar_gla(q, k, v, g_fwd, g_bwd, implementation=implementation)

    name = f"{heads}x{dims[0]}x{dims[1]}, {length} tokens, {'some -inf' if infinite else decay}"
    names = ("q", "k", "v", "g_fwd", "g_bwd")
    return Sample(name, (*inputs, *g.to(draw.dtype).unbind(2)), names, grad, run, infinite=infinite)


def _one_direction(draw: Draw, reverse: bool) -> Sample:
    q, k, v = _qkv(draw, VIG, 70, 2, 1)
    g = (-draw.uniform(1, 70, 2)).to(draw.dtype)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, g = inputs
        return scalar_gla(q, k, v, g, reverse=reverse, implementation=implementation)

    name = f"{_direction(reverse)} direction alone"
    return Sample(name, (q, k, v, g), ("q", "k", "v", "g"), draw.rounded(*v.shape), run)


def _decays_of_heads(draw: Draw, reverse: bool) -> Sample:
    q, k, v = _qkv(draw, VIG, 70, 3, 2)
    log_decay = torch.tensor([-0.03, -0.4, -5.0], device=draw.device).to(draw.dtype)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, log_decay = inputs
        return retention(q, k, v, log_decay, reverse=reverse, implementation=implementation)

    name = f"retention, decays given, {_direction(reverse)} direction"
    return Sample(name, (q, k, v, log_decay), ("q", "k", "v", "log_decay"), draw.rounded(*v.shape), run)


def _retention(draw: Draw) -> Sample:
    q, k, v = _qkv(draw, VIG, 200, 3, 2)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v = inputs
        return bidirectional_retention(q, k, v, implementation=implementation)

    return Sample("retention", (q, k, v), ("q", "k", "v"), draw.rounded(*v.shape), run)


def _ssd(draw: Draw, reverse: bool, heads: int, groups: int, skip: bool = True, rate: float = 1.0) -> Sample:
    """`rate`: by how much faster states decay than Mamba-2's do before training."""
    batch, length, state, width = 2, 70, 16, 32
    x = draw.rounded(batch, length, heads, width)
    dt, a = ssd_step(draw.normal(batch, length, heads)), rate * ssd_rate(draw.normal(heads))
    b, c = (y.unflatten(-1, (groups, -1)) for y in draw.slices(batch, length, parts=[groups * state] * 2))
    d = draw.rounded(heads) if skip else None

    def run(implementation: str, *inputs: Any) -> Tensor:
        x, dt, a, b, c, d = inputs
        return ssd(x, dt, a, b, c, d, reverse, implementation)

    name = f"SSD, {heads} heads in {groups} groups, {_direction(reverse)} direction, {rate:.0f} times the decay"
    inputs = (x, dt.to(draw.dtype), a.to(draw.dtype), b, c, d)
    names = ("x", "dt", "a", "b", "c", "d")
    return Sample(name if skip else f"{name}, no d", inputs, names, draw.rounded(*x.shape), run, SSD_SLACK)


def _direction(reverse: bool) -> str:
    return "backward" if reverse else "forward"
