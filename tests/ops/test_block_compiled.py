"""What is fused around ViG's operator, compiled ahead of time: it fits, spills nothing and is safe."""

import pytest

pytest.importorskip("triton")

from tests.ops.calls import Call, gated_projection_call, mlp_call, norm_conv_call, stem_call
from tests.ops.gla.compiling import SHARED_LIMIT, assert_fits, binaries, compiled
from tests.ops.test_machine_code import HOPPER, assert_safe


def calls(capability: int, dtype: str = "bfloat16") -> dict[str, Call]:
    """ViG-T's widths, ViG-S's (two kernels where ViG-T has one), and LayerNorm, which ViG-H has."""
    return {
        "stem": stem_call(dtype),
        "norm_conv": norm_conv_call(dtype, 192),
        "norm_conv, LayerNorm": norm_conv_call(dtype, 96, centred=True),
        "norm_conv, wide": norm_conv_call(dtype, 768),
        "gated_projection": gated_projection_call(dtype, 3, 64, 192),
        "gated_projection, ViG-H": gated_projection_call(dtype, 3, 32, 96),
        "mlp": mlp_call(dtype, 192, 512, capability),
        "mlp, LayerNorm": mlp_call(dtype, 96, 256, capability, centred=True),
        "mlp, wide": mlp_call(dtype, 384, 1024, capability),
    }


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
