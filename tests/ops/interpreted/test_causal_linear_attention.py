"""Causal linear attention, whose kernels are those of scalar decays: run by test_interpreted.py, in its own process."""

import os

import pytest
import torch
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.interpreted.gla_comparison import ALLOWED, poisoned_outputs  # noqa: F401
from vigbench.ops.causal_linear_attention.reference import reference
from vigbench.ops.causal_linear_attention.triton_fused import triton_fused


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 70])
def test_it_is_what_is_defined(length: int, reverse: bool, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    q, k, v, grad = (torch.randn(1, length, 2, dim, generator=rng).to(dtype) for dim in (16, 16, 20, 20))
    expected = differentiated(reference, [x.double() for x in (q, k, v)], grad.double(), reverse)
    for x, y in zip(differentiated(triton_fused, [q, k, v], grad, reverse), expected, strict=True):
        assert (x.double() - y).abs().max() <= ALLOWED[dtype] * y.abs().max()


def test_no_images() -> None:
    q, v = torch.zeros(0, 5, 2, 16), torch.zeros(0, 5, 2, 32)
    assert differentiated(triton_fused, [q, q, v], v, False)[0].shape == v.shape


def test_float64_is_refused() -> None:
    x = torch.zeros(1, 5, 2, 16, dtype=torch.float64)
    with pytest.raises(ValueError, match="sum in float32"):
        triton_fused(x, x, x, 0.5, False)


def differentiated(operator: object, inputs: list[Tensor], grad: Tensor, reverse: bool) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    o = operator(*leaves, 0.5, reverse)  # type: ignore[operator]
    return [o.detach(), *torch.autograd.grad(o, leaves, grad)]
