"""Inputs of the gated delta rule, and the comparison with the reference in float64."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.ops.conftest import REGIMES
from vigbench.ops.gated_delta import bidirectional_gated_delta, gated_delta

NAMES = ("o", "dq", "dk", "dv", "dg_fwd", "dg_bwd", "dbeta_fwd", "dbeta_bwd")


def sample(regime: str, shape: tuple[int, int, int], key_dim: int, value_dim: int, seed: int = 0) -> list[Tensor]:
    """q, k of unit length, v, g_fwd, g_bwd, beta_fwd, beta_bwd and an upstream gradient, float32."""
    rng = torch.Generator().manual_seed(seed)
    q, k, v, grad = (torch.randn(*shape, dim, generator=rng) for dim in (key_dim, key_dim, value_dim, value_dim))
    n, u = torch.randn(2, *shape, generator=rng), torch.rand(2, *shape, generator=rng)
    strengths = torch.sigmoid(3 * torch.randn(2, *shape, generator=rng))
    return [q, F.normalize(k, dim=-1), v, *REGIMES[regime](n, u).unbind(0), *strengths.unbind(0), grad]


def evaluated(inputs: list[Tensor], grad: Tensor, implementation: str) -> list[Tensor]:
    """The output, and the gradients of all inputs."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    o = bidirectional_gated_delta(*leaves, implementation=implementation)
    return [o.detach(), *torch.autograd.grad(o, leaves, grad)]


def one_direction(inputs: list[Tensor], grad: Tensor, reverse: bool, implementation: str) -> list[Tensor]:
    """The same of q, k, v, g, beta in one direction."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    o = gated_delta(*leaves, reverse=reverse, implementation=implementation)
    return [o.detach(), *torch.autograd.grad(o, leaves, grad)]


def assert_close(found: list[Tensor], expected: list[Tensor], allowed: float, smallest: float = 0.0) -> None:
    """max|error| / max|expected| of each tensor; where that is 0, or below the `smallest` number, max|error| alone."""
    errors = {}
    for name, x, y in zip(NAMES, found, expected, strict=False):
        assert torch.isfinite(x).all(), f"{name} is not finite"
        error, largest = (float(one.abs().max()) if one.numel() else 0.0 for one in (x.double() - y, y))
        if error > smallest:
            errors[name] = error / (largest or 1.0)
    assert len(found) == len(expected)
    assert max(errors.values(), default=0.0) <= allowed, errors


def assert_as_defined(inputs: list[Tensor], implementation: str, allowed: float, smallest: float = 0.0) -> None:
    """Compare with the reference on the same inputs in float64."""
    *xs, grad = inputs
    expected = evaluated([x.double() for x in xs], grad.double(), "reference")
    assert_close(evaluated(xs, grad, implementation), expected, allowed, smallest)
