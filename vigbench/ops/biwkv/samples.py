"""What Bi-WKV is checked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.biwkv import bi_wkv
from vigbench.ops.sample import LENGTHS, Draw, Sample, largest

KEYS: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]] = {  # of normal w, u and k
    "as initialised": lambda w, u, k: (0.02 * w.abs(), u, k),
    "as trained": lambda w, u, k: (4 * w / k.shape[1], 8 * u, 3 * k),
    "strong decay": lambda w, u, k: (20 * w.abs(), u, k),
    "growth": lambda w, u, k: (-20 * w.abs() / k.shape[1], u, k),
    "keys of 1e4": lambda w, u, k: (w / k.shape[1], u, 1e4 * k),
}


def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Every regime of keys and decays, and lengths."""
    draw = Draw(device, dtype)
    for keys in KEYS:
        yield _sample(draw, keys, 70)
    for length in LENGTHS:
        yield _sample(draw, "as trained", length)
    yield _sample(draw, "as trained", 70, channels=17)


def _sample(draw: Draw, keys: str, length: int, channels: int = 48) -> Sample:
    wide = torch.promote_types(draw.dtype, torch.float32)
    k, v = draw.slices(2, length, parts=(channels, channels))
    w, u, k = KEYS[keys](draw.normal(channels), draw.normal(channels), k)

    def run(implementation: str, *given: Any) -> Tensor:
        w, u, k, v = given
        return bi_wkv(w, u, k, v, implementation=implementation)

    name = f"{channels} channels, {length} tokens, {keys}"
    inputs = (w.to(wide), u.to(wide), k.to(draw.dtype), v)
    return Sample(name, inputs, ("w", "u", "k", "v"), draw.rounded(2, length, channels), run, scales=_scales)


def _scales(expected: Sequence[Tensor]) -> list[float]:
    """A token's terms are as large as dv, where the others nearly vanish; those of dw are multiplied by distances."""
    own = largest(expected)
    terms, length = own[-1], expected[0].shape[1]
    return [max(x, y) for x, y in zip(own, (0.0, length * terms, terms, terms, terms), strict=True)]
