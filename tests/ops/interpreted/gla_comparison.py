"""What tests of GLA's kernels in the interpreter share: small settings, fresh memory and tables, the comparison."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from vigbench.ops.gla.kernels import settings as kernel_settings
from vigbench.ops.gla.kernels.settings import GlaSettings
from vigbench.ops.gla.reference import reference

ALLOWED = {torch.float32: 2e-6, torch.float16: 2e-3}
SMALLEST_HALF = 6e-8  # below it float16 holds nothing
SMALL = GlaSettings(16, 16, 16, 2, 4, 1, 4, 1)  # several blocks and segments in the smallest tensors
Operator = Callable[..., Tensor]
MakeInputs = Callable[..., list[Tensor]]


@pytest.fixture(autouse=True)
def poisoned_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that a kernel leaves unwritten is NaN."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan))


@pytest.fixture(autouse=True)
def settings_anew() -> Iterator[None]:
    """What was found for one test's settings is not another's."""
    kernel_settings.settings_for.cache_clear()
    yield
    kernel_settings.settings_for.cache_clear()


def differentiated(operator: Operator, inputs: list[Tensor | None], grad: Tensor, *numbers: float) -> list[Tensor]:
    """The output, and the gradients of all inputs."""
    leaves = [None if x is None else x.detach().requires_grad_() for x in inputs]
    o = operator(*leaves, *numbers)
    return [o.detach(), *torch.autograd.grad(o, [x for x in leaves if x is not None], grad)]


def assert_as_defined(operator: Operator, inputs: list[Tensor | None], grad: Tensor, scale: float = 0.5) -> None:
    expected = differentiated(reference, [None if x is None else x.double() for x in inputs], grad.double(), scale)
    found = differentiated(operator, inputs, grad, scale)
    allowed = ALLOWED[grad.dtype]
    for name, x, y in zip(("o", "dq", "dk", "dv", "dg", "dg"), found, expected, strict=False):
        assert torch.isfinite(x).all(), name
        floor = SMALLEST_HALF if grad.dtype == torch.float16 else 0.0
        error = (x.double() - y).abs().max().item()
        assert error <= max(allowed * y.abs().max().item(), floor), (name, error, y.abs().max())
