"""Decay regimes, and the reference in float64 that every implementation is compared with."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vigbench.ops.gla import bidirectional_gla

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
OUTPUTS = ("o", "dq", "dk", "dv", "dg_fwd", "dg_bwd")

REGIMES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of a normal and a uniform sample
    "as initialised": lambda n, u: torch.nn.functional.logsigmoid(n) / 16,
    "as trained": lambda n, u: torch.nn.functional.logsigmoid(4 * n - 2) / 16,
    "none": lambda n, u: torch.zeros_like(n),
    "moderate": lambda n, u: -3 * u,
    "edge of mild": lambda n, u: torch.full_like(n, -0.12),
    "strong": lambda n, u: torch.full_like(n, -20.0),
    "strong, varied": lambda n, u: -20 - u,
    "huge": lambda n, u: torch.full_like(n, -1000.0),
    "infinite": lambda n, u: torch.full_like(n, -torch.inf),
    "rare huge steps": lambda n, u: torch.where(u < 1e-3, -800.0, torch.nn.functional.logsigmoid(n) / 160),
    "hard mixture": lambda n, u: torch.where(
        u < 0.02, -1000.0, torch.where(u < 0.04, -20.0, torch.where(u > 0.98, -torch.inf, -n.abs() / 20))
    ),
}


def sample(regime: str, shape: tuple[int, int, int], key_dim: int, value_dim: int, seed: int = 0) -> list[Tensor]:
    """q, k, v, g_fwd, g_bwd and an upstream gradient, float32."""
    rng = torch.Generator().manual_seed(seed)

    def normal(dim: int) -> Tensor:
        return torch.randn(*shape, dim, generator=rng)

    def gate() -> Tensor:
        return REGIMES[regime](normal(key_dim), torch.rand(*shape, key_dim, generator=rng))

    return [normal(key_dim), normal(key_dim), normal(value_dim), gate(), gate(), normal(value_dim)]


def evaluate(inputs: list[Tensor], grad: Tensor, implementation: str) -> list[Tensor]:
    """The output and the gradients of all inputs."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    o = bidirectional_gla(*inputs, implementation=implementation)
    return [o.detach(), *torch.autograd.grad(o, inputs, grad)]


def relative_errors(found: list[Tensor], expected: list[Tensor]) -> dict[str, float]:
    """max|error| / max|expected| of each tensor; the absolute error where all of it should be zero."""
    errors = {}
    for name, x, y in zip(OUTPUTS, found, expected, strict=True):
        assert torch.isfinite(x).all(), f"{name} is not finite"
        errors[name] = ((x.double() - y).abs().max() / (y.abs().max() if y.any() else 1)).item()
    return errors


@pytest.fixture(scope="session")
def check() -> Callable[..., None]:
    """Compares an implementation, in a dtype, with the reference in float64 on the same inputs."""

    def compare(inputs: list[Tensor], implementation: str, dtype: torch.dtype) -> None:
        *xs, grad = [x.to(dtype) for x in inputs]
        expected = evaluate([x.double() for x in xs], grad.double(), "reference")
        errors = relative_errors(evaluate(xs, grad, implementation), expected)
        assert max(errors.values()) <= TOLERANCE[dtype], errors

    return compare


@pytest.fixture(scope="session")
def make_inputs() -> Callable[..., list[Tensor]]:
    return sample


@pytest.fixture(params=REGIMES)
def regime(request: pytest.FixtureRequest) -> str:
    return str(request.param)
