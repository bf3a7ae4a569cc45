"""Compiled ahead of time for GPUs that need not be there: nothing spills, and no size but the channels' needs more."""

from importlib.util import find_spec

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

from tests.ops.calls import dilated_convs_call
from tests.ops.gla.compiling import assert_fits, compiled

KERNELS = {
    f"dilated_convs_{name}"
    for name in (
        "forward",
        "statistics",
        "activate",
        "norm_sums",
        "norm_gradient",
        "input_gradient",
        "weight_gradient",
    )
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("capability", [80, 90, 100])
def test_fits(capability: int, dtype: str) -> None:
    found = compiled(capability, dilated_convs_call(dtype))
    assert {kernel.kernel for kernel in found} == KERNELS
    assert_fits(found, capability)


@pytest.mark.parametrize("shape", [(1, 5, 6, 6, 6), (3, 7, 19, 11, 5)], ids=str)
def test_small_and_ragged_volumes_fit(shape: tuple[int, ...]) -> None:
    assert_fits(compiled(90, dilated_convs_call("float16", shape)), 90)


def test_another_size_compiles_no_walk_anew() -> None:
    seen: dict[str, set[int]] = {}
    for shape in ((2, 32, 48, 48, 48), (1, 5, 33, 17, 47), (4, 64, 2, 90, 20)):
        for kernel in compiled(90, dilated_convs_call("bfloat16", shape)):
            seen.setdefault(kernel.kernel, set()).add(kernel.identity)
    walks = ("forward", "input_gradient", "weight_gradient")
    assert all(len(seen[f"dilated_convs_{walk}"]) == 1 for walk in walks)
    assert all(len(found) <= 2 for found in seen.values()), "volumes that are multiples of 16, and others"
