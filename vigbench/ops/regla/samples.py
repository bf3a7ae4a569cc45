"""What ReGLA is checked on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.regla import bidirectional_regla, regla
from vigbench.ops.sample import Draw, Sample, largest

VIG, VIG_H = (32, 64), (16, 32)
ODD = ((16, 16), (64, 64), (128, 16), (16, 128), (20, 24), (2, 3))
LENGTHS = (1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 196, 511, 513, 1025)  # around the ends of chunks and blocks
LOGITS = {  # spread and shift of a normal sample
    "as initialised": (1.0, 0.0),
    "that keep nearly everything": (1.0, 5.0),
    "that forget nearly everything": (1.0, -20.0),
    "spread as widely as they come": (6.0, 0.0),
}
NAMES = ("q", "k", "v", "x_fwd", "y_fwd", "x_bwd", "y_bwd")


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """All kinds of logits, shapes and lengths, features that differ by many powers of e, and each direction alone."""
    draw = Draw(device, dtype)
    for logits in LOGITS:
        yield _sample(draw, logits, VIG, 70)
    yield _sample(draw, "as initialised", VIG, 70, spread=6.0)
    for dims in ODD:
        yield _sample(draw, "as initialised", dims, 70)
    for length in LENGTHS:
        yield _sample(draw, "as initialised", VIG_H, length, heads=2, batch=1)
    for reverse in (False, True):
        yield _one_direction(draw, reverse)


def _scales(expected: Sequence[Tensor]) -> list[float]:
    """The largest value of each tensor, but where that may be small beside what it is a sum of.

    The largest key gets the sum of all keys' gradients, with the rounding of them all. A logit's gradient comes from
    sums of keys times their gradients, and has their rounding, however small it is.
    """
    output, of_q, of_k, of_v, *of_logits = largest(expected)
    all_keys = float(expected[2].square().sum((1, 3)).max().sqrt()) if expected[2].numel() else 0.0
    return [output, of_q, all_keys, of_v, *(max(one, of_k) for one in of_logits)]


def _projected(draw: Draw, dims: tuple[int, int], length: int, heads: int, batch: int, spread: float) -> list[Tensor]:
    key, value = dims
    q, k, v = draw.slices(batch, length, parts=[heads * dim for dim in (key, key, value)])
    return [x.unflatten(-1, (heads, -1)) for x in (spread * q, spread * k, v)]


def _logits(draw: Draw, kind: str, shape: tuple[int, ...], count: int) -> list[Tensor]:
    spread, shift = LOGITS[kind]
    drawn = spread * draw.normal(*shape[:2], count, *shape[2:]) + shift
    return list(drawn.to(draw.dtype).unbind(2))


def _sample(
    draw: Draw,
    logits: str,
    dims: tuple[int, int],
    length: int,
    heads: int = 3,
    batch: int = 2,
    spread: float = 1.0,
) -> Sample:
    q, k, v = _projected(draw, dims, length, heads, batch, spread)
    name = f"{heads}x{dims[0]}x{dims[1]}, {length} tokens, logits {logits}{', steep features' if spread > 1 else ''}"
    # the gradient of a transposed result: what a model's next layer may hand back
    grad = draw.rounded(batch, heads, length, dims[1]).transpose(1, 2)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, x_fwd, y_fwd, x_bwd, y_bwd = inputs
        return bidirectional_regla(q, k, v, x_fwd, y_fwd, x_bwd, y_bwd, implementation=implementation)

    inputs = (q, k, v, *_logits(draw, logits, tuple(q.shape), 4))
    return Sample(name, inputs, NAMES, grad, run, scales=_scales)


def _one_direction(draw: Draw, reverse: bool) -> Sample:
    q, k, v = _projected(draw, VIG, 70, 2, 1, 1.0)
    x, y = _logits(draw, "as initialised", tuple(q.shape), 2)

    def run(implementation: str, *inputs: Any) -> Tensor:
        q, k, v, x, y = inputs
        return regla(q, k, v, x, y, reverse=reverse, implementation=implementation)

    name = f"{'backward' if reverse else 'forward'} direction alone"
    names = ("q", "k", "v", "x", "y")
    return Sample(name, (q, k, v, x, y), names, draw.rounded(*v.shape), run, scales=_scales)
