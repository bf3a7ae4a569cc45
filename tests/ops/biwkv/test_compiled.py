"""Compiled ahead of time for GPUs that need not be there: no spill, and no shared memory at all."""

from functools import partial
from importlib.util import find_spec

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

import torch

from tests.ops.gla.compiling import SHARED_LIMIT, Resources, compiled
from vigbench.ops.biwkv.triton_fused import _backward, _forward

CHANNELS = 192  # of Vision-RWKV-T
KERNELS = {
    _forward: {"wkv_states", "wkv_carry", "wkv_outputs"},
    _backward: {"wkv_states", "wkv_carry", "wkv_gradient_states", "wkv_gradients"},
}
passes = pytest.mark.parametrize("pass_", KERNELS, ids=["forward", "backward"])


def compile_pass(pass_: object, dtype: torch.dtype, capability: int, length: int = 4096) -> list[Resources]:
    """Every kernel that one call launches; k and v are slices of one projection."""
    k, v, grad = torch.empty(2, length, 3 * CHANNELS, dtype=dtype, device="meta").split(CHANNELS, -1)
    w = torch.empty(CHANNELS, device="meta")
    inputs = (w, w, k, v) if pass_ is _forward else (grad, w, w, k, v)
    return compiled(capability, partial(pass_, *inputs))  # type: ignore[arg-type]


def assert_fits(pass_: object, kernels: list[Resources], capability: int) -> None:
    assert {kernel.kernel for kernel in kernels} == KERNELS[pass_]  # type: ignore[index]
    for kernel in kernels:
        assert kernel.stack == 0, f"{kernel} spills registers"
        assert kernel.registers <= 255
        assert kernel.shared <= SHARED_LIMIT[capability]


@pytest.mark.slow
def test_forward_fits_hopper() -> None:
    assert_fits(_forward, compile_pass(_forward, torch.bfloat16, 90), 90)


@pytest.mark.slow
@pytest.mark.parametrize(("capability", "dtype"), [(80, torch.bfloat16), (90, torch.float32), (100, torch.bfloat16)])
@passes
def test_fits(pass_: object, capability: int, dtype: torch.dtype) -> None:
    assert_fits(pass_, compile_pass(pass_, dtype, capability), capability)


@pytest.mark.slow
@passes
def test_another_length_compiles_nothing_new(pass_: object) -> None:
    seen: set[int] = set()
    for length in (196, 2050, 4095, 4096):
        seen |= {kernel.identity for kernel in compile_pass(pass_, torch.bfloat16, 90, length)}
    assert len(seen) == len(KERNELS[pass_])  # type: ignore[index]
