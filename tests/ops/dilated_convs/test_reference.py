"""The reference is the released model's modules, and the definition written out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ops.dilated_convs.inputs import (
    OUTPUTS,
    Branches,
    Shape,
    assert_close,
    computed,
    differentiated,
    doubled,
    sample,
)


def defined(inputs: list[Tensor]) -> Tensor:
    """Voxel by voxel's sums over taps, statistics and PReLU, without any of torch's layers."""
    x, *parameters = inputs
    outputs = []
    for branch in range(3):
        weight, bias, norm_weight, norm_bias, slope = parameters[branch::3]
        rate = branch + 1
        padded = torch.zeros(*x.shape[:2], *(side + 2 * rate for side in x.shape[2:]), dtype=x.dtype)
        inner = tuple(slice(rate, rate + side) for side in x.shape[2:])
        padded[(..., *inner)] = x
        y = bias.view(-1, 1, 1, 1).expand(x.shape)
        for at in torch.cartesian_prod(*[torch.arange(3)] * 3).tolist():
            seen = tuple(slice(rate * n, rate * n + side) for n, side in zip(at, x.shape[2:], strict=True))
            y = y + weight[(slice(None), 0, *at)].view(-1, 1, 1, 1) * padded[(..., *seen)]
        centred = y - y.mean((2, 3, 4), keepdim=True)
        normal = centred / (centred.square().mean((2, 3, 4), keepdim=True) + 1e-5).sqrt()
        value = normal * norm_weight.view(-1, 1, 1, 1) + norm_bias.view(-1, 1, 1, 1)
        outputs.append(torch.where(value > 0, value, slope * value))
    return torch.cat(outputs, 1)


@settings(max_examples=20, deadline=None)
@given(shape=st.tuples(st.integers(1, 2), st.integers(1, 3), *[st.integers(1, 8)] * 3), seed=st.integers(0, 1000))
def test_the_definition(shape: Shape, seed: int) -> None:
    inputs = sample(shape, torch.float64, seed)[:16]
    torch.testing.assert_close(computed(inputs), defined(inputs), rtol=1e-9, atol=1e-9)


def test_the_modules_of_the_released_model() -> None:
    torch.manual_seed(0)
    modules = Branches(4)
    inputs = [torch.randn(2, 4, 6, 5, 7), *modules.by_kind(), torch.randn(2, 12, 6, 5, 7)]
    x = inputs[0].clone().requires_grad_()
    out = modules(x)
    expected = [out.detach(), *torch.autograd.grad(out, [x, *modules.by_kind()], inputs[16])]
    for name, one, wanted in zip(OUTPUTS, differentiated(inputs), expected, strict=True):
        torch.testing.assert_close(one, wanted, msg=name)
    assert len(set(map(id, modules.by_kind()))) == len(list(modules.parameters()))


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 2e-6), (torch.bfloat16, 3e-2), (torch.float16, 1e-2)])
def test_float64_of_the_same_numbers(dtype: torch.dtype, allowed: float) -> None:
    """In half precision the result alone: a rounding that crosses PReLU's corner changes its gradient."""
    inputs = sample((2, 3, 5, 6, 7), dtype)
    if dtype == torch.float32:
        assert_close(differentiated(inputs), differentiated(doubled(inputs)), allowed)
    out, expected = computed(inputs), computed(doubled(inputs))
    assert out.dtype == dtype
    assert (out.double() - expected).abs().max() <= allowed * expected.abs().max()


def test_channels_last_and_a_single_voxel() -> None:
    x, *rest = sample((2, 3, 5, 6, 7))
    last = x.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(computed([last, *rest]), computed([x, *rest]))
    voxel = sample((1, 2, 1, 1, 1))
    out, bias = computed(voxel), torch.cat(voxel[10:13])
    slope = torch.cat([each.expand(2) for each in voxel[13:16]])
    torch.testing.assert_close(out.flatten(), torch.where(bias > 0, bias, slope * bias))


def test_two_samples_do_not_mix() -> None:
    x, *rest = sample((2, 3, 4, 5, 6))
    torch.testing.assert_close(computed([x, *rest])[1:], computed([x[1:], *rest]))
