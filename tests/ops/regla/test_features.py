"""Log-decays of refined gates are finite, exact and differentiable wherever logits are."""

import pytest
import torch
from torch import Tensor

from vigbench.ops.regla.features import KEYS, QUERIES, features, log_decay, through_features, through_log_decay

GRID = torch.cartesian_prod(*[torch.linspace(-60, 60, 481)] * 2).T


def by_definition(x: Tensor, y: Tensor) -> Tensor:
    """In float64, where only the last digits of the smallest decays are lost."""
    f, r = x.double().sigmoid(), y.double().sigmoid()
    return ((1 - r) * f**2 + r * (1 - (1 - f) ** 2)).log()


def test_log_decays_of_moderate_logits_are_those_of_the_definition() -> None:
    x, y = GRID[:, (GRID.abs() <= 12).all(0)].double()
    torch.testing.assert_close(log_decay(x, y), by_definition(x, y), rtol=1e-9, atol=1e-12)


def test_they_are_at_most_zero_and_finite_in_float32_and_so_are_their_gradients() -> None:
    x, y = GRID
    found = log_decay(x, y)
    assert found.isfinite().all()
    assert found.max() <= 0
    assert all(grad.isfinite().all() for grad in through_log_decay(torch.ones_like(x), x, y))


def test_float32_is_as_good_as_its_rounding() -> None:
    """Of the decay's logarithm, to the rounding of its largest term; of its gradients, each to its own."""
    x, y = GRID
    exact = log_decay(x.double(), y.double())
    assert ((log_decay(x, y) - exact).abs() <= 4e-7 * (-x).clamp(min=1)).all()
    found = [grad.double() for grad in through_log_decay(torch.ones_like(x), x, y)]
    expected = through_log_decay(torch.ones_like(exact), x.double(), y.double())
    torch.testing.assert_close(found, [*expected], rtol=2e-5, atol=1e-38)


def test_gradients_of_log_decays_are_those_of_autograd() -> None:
    x, y = (4 * torch.randn(2, 500, dtype=torch.float64)).requires_grad_()
    grad = torch.randn(500, dtype=torch.float64)
    expected = torch.autograd.grad(by_definition(x, y), (x, y), grad)
    torch.testing.assert_close(list(through_log_decay(grad, x, y)), list(expected), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("over", [QUERIES, KEYS])
def test_gradients_of_features_go_through_the_maximum(over: tuple[int, ...]) -> None:
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    grad = torch.randn_like(x)
    mapped = (x - x.amax(over, keepdim=True)).exp()
    (expected,) = torch.autograd.grad(mapped, x, grad)
    torch.testing.assert_close(features(x.detach(), over), mapped.detach())
    torch.testing.assert_close(through_features(grad, x.detach(), mapped.detach(), over), expected)
