"""Compiled ahead of time for GPUs that need not be there: no spills, no more shared memory than a block can have."""

from importlib.util import find_spec
from itertools import product

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

from tests.ops.calls import gsa_call
from tests.ops.gla.compiling import assert_fits, compiled

DIMS = ((32, 64, 32), (16, 32, 16), (64, 64, 64), (128, 128, 128))  # key and value channels, slots; ViG's first
OWN = {"forward": {"slot_probabilities"}, "backward": {"slot_probabilities", "through_softmax"}}


@pytest.mark.parametrize("capability", [90, *(pytest.param(other, marks=pytest.mark.slow) for other in (80, 100))])
def test_the_shape_of_vig_fits(capability: int, record_property: pytest.FixtureRequest) -> None:
    kernels = compiled(capability, gsa_call("forward", "bfloat16", DIMS[0], capability))
    record_property("registers", {kernel.kernel: kernel.registers for kernel in kernels})
    assert {kernel.kernel for kernel in kernels} > OWN["forward"]
    assert_fits(kernels, capability)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "dims", "dtype"),
    [
        *product((80, 90, 100), DIMS[:1], ("bfloat16", "float16", "float32")),
        *product((90,), DIMS[1:], ("bfloat16",)),
        (90, DIMS[-1], "float32"),
    ],
)
@pytest.mark.parametrize("pass_", OWN)
def test_every_variant_fits(pass_: str, dtype: str, dims: tuple[int, int, int], capability: int) -> None:
    kernels = compiled(capability, gsa_call(pass_, dtype, dims, capability))
    assert {kernel.kernel for kernel in kernels} > OWN[pass_]
    assert_fits(kernels, capability)
