"""Inputs of the scan in several regimes of step sizes, and their comparison with float64; also for a GPU's tests."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

REGIMES: dict[str, Callable[[Tensor], Tensor]] = {  # of a normal sample: what softplus is applied to
    "as initialised": lambda n: n - 4.6,  # forward direction of Vim: steps near 0.01
    "no initial bias": lambda n: n,  # backward direction of Vim: steps near 0.7
    "tiny": lambda n: n - 15,
    "beyond the threshold": lambda n: 30 * n,
    "huge": lambda n: 500 + 100 * n,  # decays of e**-500 and less: a quotient of running products would be 0 / 0
    "rare huge steps": lambda n: torch.where(n > 2, 300.0, n - 4.6),
}
SMALLEST = 1e-30
NAMES = ("out", "u", "delta", "A", "B", "C", "D", "z", "delta_bias")


class Sizes(NamedTuple):
    """Of a call; `directions` of 1 is the forward one, unless the call is reversed."""

    directions: int
    batch: int
    length: int
    dim: int
    state: int


def sample(regime: str, sizes: Sizes, seed: int = 0, optional: bool = True, device: str = "cpu") -> list[Tensor | None]:
    """u, delta, A, B, C, D, z, delta_bias, float32, with the strides of Vim's projections; D, z, bias if `optional`."""
    rng = torch.Generator(device).manual_seed(seed)
    directions, batch, length, dim, state = sizes

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, device=device)

    projected = normal(directions, batch, length, 4 + 2 * state)
    tokens = (directions, batch, length, dim)
    delta = REGIMES[regime](normal(*tokens))
    weights = -normal(directions, dim, state).exp() * 4, projected[..., 4 : 4 + state], projected[..., 4 + state :]
    D, bias = normal(directions, dim), normal(directions, dim)
    z = normal(batch, length, 2 * dim)[..., dim:]
    return [normal(*tokens), delta, *weights, *((D, z, bias) if optional else (None, None, None))]


def evaluate(
    run: Callable[..., Tensor], inputs: Sequence[Tensor | None], grad: Tensor, *switches: object
) -> list[Tensor]:
    """The output and the gradients of all inputs that there are."""
    leaves = [None if x is None else x.detach().clone().requires_grad_() for x in inputs]
    out = run(*leaves, *switches)
    return [out.detach(), *torch.autograd.grad(out, [x for x in leaves if x is not None], grad)]


def errors(found: list[Tensor], expected: list[Tensor], names: Sequence[str] = NAMES) -> dict[str, float]:
    """max|error| / max|expected| of each tensor; what float32 cannot hold counts as zero."""
    result = {}
    for name, x, y in zip(names, found, expected, strict=False):
        assert torch.isfinite(x).all(), f"{name} is not finite"
        result[name] = ((x.double() - y).abs().max() / y.abs().max().clamp(min=SMALLEST)).item()
    return result


def by_steps(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, bias: Tensor) -> Tensor:
    """One direction from its definition, by autograd's own operators: (batch, length, ...) as `selective_scan`."""
    step = F.softplus(delta + bias)
    state, out = u.new_zeros(u.shape[0], *A.shape), []
    for t in range(u.shape[1]):
        state = torch.exp(step[:, t, :, None] * A) * state + (step[:, t] * u[:, t])[..., None] * B[:, t, None, :]
        out.append((state * C[:, t, None, :]).sum(-1) + D * u[:, t])
    return torch.stack(out, 1) * F.silu(z)
