"""Inputs of ReGLA for its tests, and the comparison of what comes out of them."""

from collections.abc import Callable

import torch
from torch import Tensor

NAMES = ("q", "k", "v", "x_fwd", "y_fwd", "x_bwd", "y_bwd")
Operator = Callable[..., Tensor]


def make_inputs(
    length: int,
    key_dim: int,
    value_dim: int,
    spread: float = 1.0,
    rows: tuple[int, int] = (1, 2),
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> list[Tensor]:
    """q, k, v, both directions' logits and an upstream gradient; all but v and the gradient spread this widely."""
    rng = torch.Generator().manual_seed(seed)
    batch, heads = rows

    def normal(dim: int) -> Tensor:
        return torch.randn(batch, length, heads, dim, generator=rng).to(dtype)

    q, k, *logits = (spread * normal(key_dim) for _ in range(6))
    return [q, k, normal(value_dim), *logits, normal(value_dim)]


def differentiated(operator: Operator, inputs: list[Tensor | None], grad: Tensor) -> list[Tensor]:
    """The output, and the gradients of all inputs."""
    leaves = [None if x is None else x.detach().requires_grad_() for x in inputs]
    o = operator(*leaves)
    return [o.detach(), *torch.autograd.grad(o, [x for x in leaves if x is not None], grad)]


def largest_error(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest error over the largest value, of all tensors the largest."""
    return max(
        ((x.double() - y).abs().max() / (y.abs().max() if y.any() else 1)).item()
        for x, y in zip(found, expected, strict=True)
    )
