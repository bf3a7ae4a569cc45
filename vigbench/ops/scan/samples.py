"""What the selective scan is checked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.sample import LENGTHS, Draw, Sample
from vigbench.ops.scan import bidirectional_selective_scan, selective_scan

STEPS: dict[str, Callable[[Tensor], Tensor]] = {  # of a normal sample: what softplus is applied to
    "as initialised": lambda n: n - 4.6,
    "steps near 0.7": lambda n: n,
    "steps of 3e-7": lambda n: n - 15,
    "beyond softplus' threshold": lambda n: 30 * n,
    "steps of 500": lambda n: 500 + 100 * n,
    "rare steps of 300": lambda n: torch.where(n > 2, 300.0, n - 4.6),
}
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "bias")


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Every regime of steps, lengths, numbers of states, one direction, and what may be left out."""
    draw = Draw(device, dtype)
    for steps in STEPS:
        yield _sample(draw, steps, 70)
    for length in LENGTHS:
        yield _sample(draw, "as initialised", length, batch=1)
    for state in (1, 8, 64):
        yield _sample(draw, "as initialised", 33, state=state)
    yield _sample(draw, "as initialised", 70, dim=17)
    yield _sample(draw, "as initialised", 70, optional=False)
    for reverse in (False, True):
        yield _one_direction(draw, reverse)


def _inputs(draw: Draw, steps: str, tokens: tuple[int, ...], state: int) -> list[Tensor]:
    *lead, length, dim = tokens
    _, B, C = draw.slices(*lead, length, parts=(4, state, state))
    delta = STEPS[steps](draw.normal(*tokens)).to(draw.dtype)
    wide = torch.promote_types(draw.dtype, torch.float32)
    directions = tokens[:1] if len(tokens) == 4 else ()
    A = (-draw.normal(*directions, dim, state).exp()).to(wide)
    D, bias = (draw.normal(*directions, dim).to(wide) for _ in range(2))
    z = draw.rounded(*tokens[-3:-1], 2 * dim)[..., dim:]
    return [draw.rounded(*tokens), delta, A, B, C, D, z, bias]


def _sample(
    draw: Draw, steps: str, length: int, batch: int = 2, dim: int = 48, state: int = 16, optional: bool = True
) -> Sample:
    inputs: list[Tensor | None] = [*_inputs(draw, steps, (2, batch, length, dim), state)]
    if not optional:
        inputs[5:] = [None, None, None]

    def run(implementation: str, *given: Any) -> Tensor:
        u, delta, A, B, C, D, z, bias = given
        return bidirectional_selective_scan(
            u, delta, A, B, C, D, z, bias, delta_softplus=True, implementation=implementation
        )

    left_out = "" if optional else ", without D, z and bias"
    name = f"{dim} channels, {state} states, {length} tokens, {steps}{left_out}"
    return Sample(name, inputs, NAMES, draw.rounded(batch, length, dim), run)


def _one_direction(draw: Draw, reverse: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        u, delta, A, B, C, D, z, bias = given
        return selective_scan(
            u, delta, A, B, C, D, z, bias, delta_softplus=True, reverse=reverse, implementation=implementation
        )

    inputs = _inputs(draw, "as initialised", (2, 70, 48), 16)
    name = f"{'backward' if reverse else 'forward'} direction alone"
    return Sample(name, inputs, NAMES, draw.rounded(2, 70, 48), run)
