"""Compiled ahead of time for GPUs that need not be there: no more shared memory than a block can have."""

from importlib.util import find_spec
from itertools import product

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

from tests.ops.calls import conv_call, scan_call
from tests.ops.gla.compiling import SHARED_LIMIT, Resources, assert_fits, compiled


def scan_resources(pass_: str, dim: int, dtype: str, capability: int, **sizes: int) -> list[Resources]:
    return compiled(capability, scan_call(pass_, dim, dtype, **sizes))


@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_the_shape_of_vim_fits_hopper(pass_: str) -> None:
    for batch in (2, 32):  # segments side by side, whole halves
        kernels = scan_resources(pass_, 384, "bfloat16", 90, batch=batch)
        assert {kernel.kernel for kernel in kernels} >= {"scan_outputs" if pass_ == "forward" else "scan_gradients"}
        assert_fits(kernels, 90)


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED_LIMIT)
def test_every_variant_fits(capability: int) -> None:
    for pass_, batch, dtype in product(("forward", "backward"), (2, 32), ("bfloat16", "float32")):
        assert_fits(scan_resources(pass_, 384, dtype, capability, batch=batch), capability)
    for state, directions in ((8, 2), (64, 1)):
        for pass_ in ("forward", "backward"):
            kernels = scan_resources(pass_, 384, "bfloat16", capability, state=state, directions=directions)
            assert_fits(kernels, capability)


@pytest.mark.parametrize("capability", SHARED_LIMIT)
@pytest.mark.parametrize("channels_first", [False, True])
def test_the_convolution_fits(capability: int, channels_first: bool) -> None:
    for dtype in ("bfloat16", "float32"):
        kernels = compiled(capability, conv_call(384, dtype, channels_first))
        assert len(kernels) == 3
        assert_fits(kernels, capability)


def test_another_length_compiles_nothing_new() -> None:
    """Vim's lengths from 384 px on: a token more than patches."""
    seen: set[int] = set()
    for length in (577, 1025, 2305, 4097, 9217):
        seen |= {kernel.identity for kernel in scan_resources("forward", 384, "bfloat16", 90, length=length)}
    assert len(seen) == 4  # states, their way from segment to segment, outputs of either phase
