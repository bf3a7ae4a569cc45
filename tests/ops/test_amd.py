"""Every kernel compiles for AMD's GPUs, without one: an MI300 (gfx942) and an RX 7900 (gfx1100). None has been run."""

from collections.abc import Iterator

import pytest

pytest.importorskip("triton")

from tests.ops.block_kernels import calls as block_calls
from tests.ops.calls import (
    Call,
    biwkv_call,
    conv_call,
    dilated_convs_call,
    gated_delta_call,
    gated_norm_call,
    gsa_call,
    norm_swish_gate_call,
    recurrent_call,
    regla_call,
    scalar_gla_call,
    scan_call,
)
from tests.ops.gla.compiling import AMD_LANES, PASSES, Variant, call_of, compiled, shared_limit
from vigbench.ops.gla.kernels.gates import LOG_DECAY, LOW_RANK


def every_call(architecture: str) -> Iterator[tuple[str, Call]]:
    for pass_ in PASSES:
        for dims, dtype, gate in (((32, 64), "bfloat16", LOW_RANK), ((16, 32), "float32", LOG_DECAY)):
            variant = Variant(pass_, *dims, dtype, gate, architecture)
            yield f"gla {pass_} {dtype}", lambda variant=variant: call_of(variant)
        yield f"scalar decays {pass_}", scalar_gla_call(pass_, "bfloat16", (128, 64), architecture)
        yield f"ReGLA {pass_}", regla_call(pass_, "bfloat16", 32, 64)
        yield f"gated delta {pass_}", gated_delta_call(pass_, "bfloat16", (32, 64), architecture)
        yield f"GSA {pass_}", gsa_call(pass_, "bfloat16", (32, 64, 32), architecture)
        yield f"scan {pass_}", scan_call(pass_, 384, "bfloat16")
        yield f"Bi-WKV {pass_}", biwkv_call(pass_, "bfloat16")
    yield "recurrence", recurrent_call("bfloat16", 32, 64)
    yield "gated norm", gated_norm_call("bfloat16", 64)
    yield "norm and swish gate", norm_swish_gate_call("bfloat16", 64)
    yield "dilated convolutions", dilated_convs_call("bfloat16")
    yield "convolution", conv_call(384, "bfloat16", False)
    yield from block_calls(architecture).items()


def assert_compiles(architecture: str, name: str, call: Call) -> None:
    kernels = compiled(architecture, call)
    assert kernels
    for kernel in kernels:
        assert kernel.shared <= shared_limit(architecture), (name, kernel)
        assert kernel.stack == 0, f"{name}: {kernel} spills"


def test_what_vig_runs_compiles_for_an_mi300() -> None:
    variant = Variant("forward", 32, 64, "bfloat16", LOW_RANK, "gfx942")
    assert_compiles("gfx942", "gla", lambda: call_of(variant))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", AMD_LANES)
def test_everything_compiles(architecture: str) -> None:
    for name, call in every_call(architecture):
        assert_compiles(architecture, name, call)
