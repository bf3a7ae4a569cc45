"""What is fused around ViG's operator, compiled ahead of time: it fits, spills nothing and is safe."""

import pytest

pytest.importorskip("triton")

from tests.ops.block_kernels import calls
from tests.ops.gla.compiling import SHARED_LIMIT, assert_fits, binaries, compiled
from tests.ops.test_machine_code import HOPPER, assert_safe


@pytest.mark.parametrize("name", ["mlp", "gated_projection"])
def test_fits_hopper(name: str) -> None:
    assert_fits(compiled(HOPPER, calls(HOPPER)[name]), HOPPER)


@pytest.mark.slow
def test_no_kernel_has_what_compilers_get_wrong() -> None:
    for call in calls(HOPPER).values():
        for kernel in binaries(HOPPER, call):
            assert_safe(kernel)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("capability", SHARED_LIMIT)
def test_fits_everywhere(capability: int, dtype: str) -> None:
    for call in calls(capability, dtype).values():
        assert_fits(compiled(capability, call), capability)
