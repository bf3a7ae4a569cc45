"""Inputs of gated slot attention, and the comparison with the reference in float64."""

import torch
from torch import Tensor

from tests.ops.conftest import sample as gla_sample
from vigbench.ops.gsa import bidirectional_gsa, gsa

NAMES = ("o", "dq", "dk", "dv", "ds_fwd", "ds_bwd", "dg_fwd", "dg_bwd")


def sample(regime: str, shape: tuple[int, int, int], key_dim: int, value_dim: int, slots: int) -> list[Tensor]:
    """q, k, v, s_fwd, s_bwd, g_fwd, g_bwd and an upstream gradient, float32."""
    q, k, v, _, _, grad = gla_sample(regime, shape, key_dim, value_dim)
    s_fwd, s_bwd, _, g_fwd, g_bwd, _ = gla_sample(regime, shape, slots, 1, seed=1)
    return [q, k, v, s_fwd.sigmoid(), s_bwd.sigmoid(), g_fwd, g_bwd, grad]


def evaluated(
    inputs: list[Tensor | None], grad: Tensor, implementation: str, scale: float | None = None
) -> list[Tensor]:
    """The output, and the gradients of all inputs."""
    leaves = [None if x is None else x.detach().clone().requires_grad_() for x in inputs]
    o = bidirectional_gsa(*leaves, scale, implementation)  # type: ignore[arg-type]
    return [o.detach(), *torch.autograd.grad(o, [x for x in leaves if x is not None], grad)]


def one_direction(inputs: list[Tensor | None], grad: Tensor, reverse: bool, implementation: str) -> list[Tensor]:
    """The same of q, k, v, s, g in one direction, with scale 1."""
    leaves = [None if x is None else x.detach().clone().requires_grad_() for x in inputs]
    o = gsa(*leaves, 1.0, reverse, implementation)  # type: ignore[arg-type]
    return [o.detach(), *torch.autograd.grad(o, [x for x in leaves if x is not None], grad)]


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


def as_defined(inputs: list[Tensor], implementation: str, allowed: float) -> None:
    """Compare with the reference on the same inputs in float64."""
    *xs, grad = inputs
    expected = evaluated([x.double() for x in xs], grad.double(), "reference")
    assert_close(evaluated([*xs], grad, implementation), expected, allowed)
