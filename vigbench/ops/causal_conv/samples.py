"""What the causal convolution is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.registry import get_implementation
from vigbench.ops.sample import Draw, Sample


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Lengths, channels, taps, and both orders of the result in memory."""
    draw = Draw(device, dtype)
    for length, dim, taps in ((1, 48, 4), (2, 48, 4), (33, 17, 3), (70, 130, 4), (513, 48, 2)):
        for channels_first in (False, True):
            yield _sample(draw, length, dim, taps, channels_first)


def _sample(draw: Draw, length: int, dim: int, taps: int, channels_first: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        out: Tensor = get_implementation("causal_conv", implementation).load()(*given, channels_first)
        return out

    x = draw.rounded(2, length, 2 * dim)[..., dim:]
    inputs = (x, draw.rounded(2, dim, taps), draw.rounded(2, dim))
    name = f"{dim} channels, {taps} taps, {length} tokens{', channels first' if channels_first else ''}"
    return Sample(name, inputs, ("x", "weight", "bias"), draw.rounded(2, 2, length, dim), run)
