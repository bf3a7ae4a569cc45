"""Rotary positions (RoFormer, arXiv 2104.09864): pairs of channels turned by angles that grow with the position."""

from functools import lru_cache

import torch
from torch import Tensor

BASE = 10000.0


def rotated(x: Tensor, steps: int) -> Tensor:
    """x with channels i and i + dim / 2 of token t turned by t BASE^(-i / steps).

    So the product of a query and a key depends on how far apart they are. RoFormer pairs neighbours; that is the same
    but for the order of the channels.

    Args:
        x: (batch, length, heads, dim), dim even.
        steps: from the fastest turn, 1 a token, to one of 1 / BASE.
    """
    cos, sin = _tables_of(x, steps)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def _tables_of(x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    asked = x.shape[1], x.shape[-1], steps, x.dtype, x.device
    if torch.compiler.is_compiling() or (x.is_cuda and torch.cuda.is_current_stream_capturing()):
        return _tables(*asked)  # of the graph, which has memory of its own
    return _kept_tables(*asked)


def _tables(length: int, dim: int, steps: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines, (length, 1, dim) each, computed in float64: angles are large."""
    turns = BASE ** -(torch.arange(dim // 2, dtype=torch.float64, device=device) / steps)
    angles = torch.arange(length, dtype=torch.float64, device=device)[:, None, None] * turns
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], -1).to(dtype), torch.cat([-sin, sin], -1).to(dtype)


@lru_cache(maxsize=8)
def _kept_tables(length: int, dim: int, steps: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The same, made once: a model's layers share them. None of inference mode, which gradients could not use."""
    with torch.inference_mode(False):
        return _tables(length, dim, steps, dtype, device)
