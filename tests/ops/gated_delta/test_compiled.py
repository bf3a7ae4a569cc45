"""Compiled ahead of time for GPUs that need not be there: no spills, no more shared memory than a block can have."""

from itertools import product

import pytest

pytest.importorskip("triton")

from tests.ops.calls import gated_delta_call
from tests.ops.gla.compiling import PASSES, assert_fits, compiled

KERNELS = {
    "forward": {"chunk_systems", "delta_states", "delta_outputs"},
    "backward": {"chunk_systems", "delta_states", "written_gradients", "delta_state_gradients", "delta_gradients"},
}
DIMS = ((32, 64), (64, 64), (128, 128), (256, 256))


def test_the_kernels_of_a_pass_fit_hopper() -> None:
    kernels = compiled(90, gated_delta_call("forward", "bfloat16", DIMS[0], 90))
    assert {kernel.kernel for kernel in kernels} == KERNELS["forward"]
    assert_fits(kernels, 90)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "dims", "dtype"),
    [
        *product((80, 90, 100), DIMS[:1], ("bfloat16", "float16", "float32")),
        *product((90,), DIMS[1:], ("bfloat16",)),
        (90, DIMS[2], "float32"),
    ],
)
@pytest.mark.parametrize("pass_", PASSES)
def test_every_variant_fits(pass_: str, dims: tuple[int, int], dtype: str, capability: int) -> None:
    kernels = compiled(capability, gated_delta_call(pass_, dtype, dims, capability))
    assert {kernel.kernel for kernel in kernels} == KERNELS[pass_]
    assert_fits(kernels, capability)


def test_another_length_compiles_nothing_new() -> None:
    seen = {
        kernel.identity
        for length in (2050, 2063, 2064, 4096)
        for kernel in compiled(90, gated_delta_call("forward", "bfloat16", (32, 64), 90, length))
    }
    assert len(seen) == len(KERNELS["forward"])
