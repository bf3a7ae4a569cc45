"""Inputs of scalar-decay linear attention and SSD, the published values that are compared with, and errors."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[2] / "golden"
SMALLEST_HALF = 6e-8
REGIMES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of a normal and a uniform sample
    "as initialised": lambda n, u: torch.nn.functional.logsigmoid(n) / 16,
    "none": lambda n, u: torch.zeros_like(n),
    "moderate": lambda n, u: -3 * u,
    "strong": lambda n, u: -20 - u,
    "huge": lambda n, u: torch.full_like(n, -1000.0),
    "infinite": lambda n, u: torch.full_like(n, -torch.inf),
    "hard mixture": lambda n, u: torch.where(
        u < 0.1, -1000.0, torch.where(u < 0.2, -20.0, torch.where(u > 0.9, -torch.inf, -n.abs() / 20))
    ),
}


def golden(name: str, prefix: str, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """The tensors of a file whose names begin so, without it."""
    return {
        key.removeprefix(prefix): torch.from_numpy(x).to(dtype)
        for key, x in np.load(GOLDEN / f"golden-{name}.npz").items()
        if key.startswith(prefix)
    }


def sample(regime: str, shape: tuple[int, int, int], key_dim: int, value_dim: int, groups: int = 0) -> list[Tensor]:
    """q, k, v, g_fwd, g_bwd and an upstream gradient, float32; q and k of as many heads, or of `groups`."""
    rng = torch.Generator().manual_seed(0)
    batch, length, heads = shape

    def normal(*size: int) -> Tensor:
        return torch.randn(batch, length, *size, generator=rng)

    gates = [REGIMES[regime](normal(heads), torch.rand(shape, generator=rng)) for _ in range(2)]
    q, k = (normal(groups or heads, key_dim) for _ in range(2))
    return [q, k, normal(heads, value_dim), *gates, normal(heads, value_dim)]


def ssd_sample(length: int, heads: int, groups: int, rate: float = 1.0) -> list[Tensor]:
    """x, dt, a, b, c, d and an upstream gradient, float32."""
    rng = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(1, length, *size, generator=rng)

    dt = torch.rand(1, length, heads, generator=rng) / 10 + 1e-3
    a = -rate * (1 + 15 * torch.rand(heads, generator=rng))
    d = torch.randn(heads, generator=rng)
    return [normal(heads, 6), dt, a, normal(groups, 4), normal(groups, 4), d, normal(heads, 6)]


def differentiated(
    run: Callable[..., Tensor], inputs: Sequence[Tensor | None], grad: Tensor, *others: object
) -> list[Tensor]:
    """The output, and the gradients of all inputs that there are."""
    leaves = [None if x is None else x.detach().requires_grad_() for x in inputs]
    out = run(*leaves, *others)
    return [out.detach(), *torch.autograd.grad(out, [x for x in leaves if x is not None], grad)]


def doubled(inputs: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The same in float64."""
    return [None if x is None else x.double() for x in inputs]


def worst_error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest of max|error| / max|expected|; the absolute error where all of a tensor should be zero.

    What float16 holds nothing of is no error.
    """
    errors = []
    for x, y in zip(found, expected, strict=True):
        assert torch.isfinite(x).all()
        error = (x.double() - y).abs().max() - (SMALLEST_HALF if x.dtype == torch.float16 else 0.0)
        errors.append((error.clamp_min(0.0) / (y.abs().max() if y.any() else 1)).item())
    return max(errors)
