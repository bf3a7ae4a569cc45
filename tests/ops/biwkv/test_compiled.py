"""Compiled ahead of time for GPUs that need not be there: no more than a block can have."""

from importlib.util import find_spec

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

from tests.ops.calls import biwkv_call
from tests.ops.gla.compiling import Resources, assert_fits, compiled

KERNELS = {
    "forward": {"wkv_states", "wkv_carry", "wkv_outputs"},
    "backward": {"wkv_states", "wkv_carry", "wkv_gradient_states", "wkv_gradients"},
}
passes = pytest.mark.parametrize("pass_", KERNELS)


def compile_pass(pass_: str, dtype: str, capability: int, length: int = 4096) -> list[Resources]:
    """Every kernel that one call launches."""
    found = compiled(capability, biwkv_call(pass_, dtype, length))
    assert {kernel.kernel for kernel in found} == KERNELS[pass_]
    return found


@pytest.mark.slow
def test_forward_fits_hopper() -> None:
    assert_fits(compile_pass("forward", "bfloat16", 90), 90)


@pytest.mark.slow
@pytest.mark.parametrize(("capability", "dtype"), [(80, "bfloat16"), (90, "float32"), (100, "bfloat16")])
@passes
def test_fits(pass_: str, capability: int, dtype: str) -> None:
    assert_fits(compile_pass(pass_, dtype, capability), capability)


@pytest.mark.slow
@passes
def test_another_length_compiles_nothing_new(pass_: str) -> None:
    seen: set[int] = set()
    for length in (196, 2050, 4095, 4096):
        seen |= {kernel.identity for kernel in compile_pass(pass_, "bfloat16", 90, length)}
    assert len(seen) == len(KERNELS[pass_])
