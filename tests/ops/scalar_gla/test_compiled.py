"""Compiled ahead of time for GPUs that need not be there: no more shared memory and registers than there are."""

from importlib.util import find_spec
from itertools import product

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

import torch

from tests.ops.calls import scalar_gla_call
from tests.ops.gla.compiling import PASSES, assert_fits, compiled
from vigbench.ops.gla.kernels.settings import WARP_GROUP, WARP_GROUP_ROWS
from vigbench.ops.scalar_gla.kernels.settings import default_settings

VIG, MAMBA, RETNET = (32, 64), (128, 64), (256, 512)  # key and value channels of a head


@pytest.mark.parametrize("pass_", PASSES)
def test_the_shape_of_mamba_2_fits_hopper(pass_: str, record_property: pytest.FixtureRequest) -> None:
    kernels = compiled(90, scalar_gla_call(pass_, "bfloat16", MAMBA, 90, directions=1, groups=1))
    record_property("registers", {kernel.kernel: kernel.registers for kernel in kernels})
    assert len(kernels) == {"forward": 2, "backward": 4}[pass_]
    assert_fits(kernels, 90)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "dims", "dtype"),
    [
        *product((80, 90, 100), (VIG,), ("bfloat16", "float16", "float32")),
        *product((90,), (MAMBA, RETNET), ("bfloat16",)),
        (90, RETNET, "float32"),
    ],
)
def test_every_shape_fits(capability: int, dims: tuple[int, int], dtype: str) -> None:
    for pass_ in PASSES:
        for directions, groups in ((2, 4), (1, 1)):
            assert_fits(
                compiled(capability, scalar_gla_call(pass_, dtype, dims, capability, directions, groups)), capability
            )


def test_another_length_or_shape_of_blocks_compiles_nothing_new() -> None:
    seen = {
        kernel.identity
        for length in (2050, 2064, 4096, 4097)
        for kernel in compiled(80, scalar_gla_call("forward", "bfloat16", VIG, 80, length=length))
    }
    assert len(seen) == 2  # states, outputs


@pytest.mark.parametrize("capability", ["8.0", "9.0", "10.0", "gfx942"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pass_", PASSES)
def test_no_tile_is_one_that_compilers_get_wrong(pass_: str, dtype: torch.dtype, capability: str) -> None:
    settings = default_settings(capability, dtype, pass_)  # type: ignore[arg-type]
    if max(settings.chunk, settings.key_block) >= WARP_GROUP_ROWS:
        assert (pass_, capability) == ("forward", "9.0")
        assert max(settings.warps, settings.states_warps) <= WARP_GROUP
