"""The machine code of all kernels for Hopper has none of the patterns that compilers are known to get wrong."""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("triton")

import torch
import triton
import triton.language as tl

from tests.ops.calls import (
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
from tests.ops.gla.compiling import DIMS, WALKS, WALKS_BACK, Binary, Variant, binaries, call_of
from tests.ptx.patterns import overwritten_operands, transposed_products, unguarded_waits, warp_group_products
from vigbench.ops import kernel_launch
from vigbench.ops.gla.kernels.gates import LOG_DECAY, LOW_RANK
from vigbench.ops.gla.kernels.settings import WALK, WALK_BACK, GlaSettings, default_settings, forbidden

HOPPER = 90
GRADIENTS = ("chunk_outputs (adjoint)", "chunk_key_gradients", "walk_gradients")


def assert_safe(kernel: Binary) -> None:
    ptx, name = kernel.compiled.asm["ptx"], kernel.kernel
    products = warp_group_products(ptx)
    turned = transposed_products(kernel.compiled.asm["ttgir"])
    assert not (products and turned), f"{name} turns a product around"
    assert not any("n8k" in shape for shape in products), f"{name} has a product with 8 columns"
    assert not unguarded_waits(ptx, kernel.warps), f"{name} does not wait for another warp group's products"
    assert not (products and name in GRADIENTS), f"{name} multiplies by warp groups"
    assert not overwritten_operands(kernel.compiled.asm["cubin"]), f"{name} overwrites what a product still reads"


@pytest.mark.parametrize("gate", [LOW_RANK, pytest.param(LOG_DECAY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("walk", WALKS | WALKS_BACK)
def test_a_walk(walk: str, gate: str) -> None:
    found = binaries(HOPPER, lambda: call_of(Variant(walk, *DIMS[0], "bfloat16", gate, HOPPER)))
    assert [one.kernel for one in found].count("walk_gradients" if walk in WALKS_BACK else "walk_outputs") == 2
    for kernel in found:
        assert_safe(kernel)


@pytest.mark.parametrize("pass_", ["forward", "backward"])
@pytest.mark.parametrize(
    ("dims", "gate"),
    [
        (DIMS[1], LOW_RANK),
        pytest.param(DIMS[0], LOW_RANK, marks=pytest.mark.slow),
        *(pytest.param(dims, LOG_DECAY, marks=pytest.mark.slow) for dims in DIMS),
    ],
)
def test_gla(dims: tuple[int, int], gate: str, pass_: str) -> None:
    found = binaries(HOPPER, lambda: call_of(Variant(pass_, *dims, "bfloat16", gate, HOPPER)))
    assert {kernel.kernel for kernel in found} >= (set(GRADIENTS[:2]) if pass_ == "backward" else {"chunk_outputs"})
    for kernel in found:
        assert_safe(kernel)


@pytest.mark.parametrize("pass_", ["forward", pytest.param("backward", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dims", [(32, 64, 32), pytest.param((128, 128, 128), marks=pytest.mark.slow)])
def test_gsa(dims: tuple[int, int, int], pass_: str) -> None:
    found = binaries(HOPPER, gsa_call(pass_, "bfloat16", dims, HOPPER))
    assert "slot_probabilities" in {kernel.kernel for kernel in found}
    for kernel in found:
        assert_safe(kernel)


@pytest.mark.parametrize("pass_", ["forward", pytest.param("backward", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dims", [DIMS[0], pytest.param((128, 128), marks=pytest.mark.slow)])
def test_gated_delta(dims: tuple[int, int], pass_: str) -> None:
    """No tile has 64 rows, so that no warp group multiplies."""
    for kernel in binaries(HOPPER, gated_delta_call(pass_, "bfloat16", dims, HOPPER)):
        assert_safe(kernel)
        assert not warp_group_products(kernel.compiled.asm["ptx"]), kernel.kernel


@pytest.mark.parametrize("pass_", ["forward", pytest.param("backward", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dims", [(128, 64), pytest.param((256, 512), marks=pytest.mark.slow)])
def test_scalar_decays(dims: tuple[int, int], pass_: str) -> None:
    """Warp groups multiply forward only."""
    found = binaries(HOPPER, scalar_gla_call(pass_, "bfloat16", dims, HOPPER))
    for kernel in found:
        assert_safe(kernel)
        assert pass_ == "forward" or not warp_group_products(kernel.compiled.asm["ptx"]), kernel.kernel


@pytest.mark.slow
@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_regla(pass_: str) -> None:
    found = binaries(HOPPER, regla_call(pass_, "bfloat16", *DIMS[0]))
    assert {"block_maxima", "head_maxima"} < {kernel.kernel for kernel in found}
    for kernel in found:
        assert_safe(kernel)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(recurrent_call("bfloat16", *DIMS[0]), id="recurrence"),
        pytest.param(gated_norm_call("bfloat16", 64), id="gated norm"),
        pytest.param(norm_swish_gate_call("bfloat16", 64), id="norm and swish gate"),
        pytest.param(conv_call(384, "bfloat16", False), id="convolution"),
        pytest.param(dilated_convs_call("bfloat16"), id="dilated convolutions"),
        pytest.param(scan_call("forward", 384, "bfloat16"), id="scan"),
        pytest.param(scan_call("backward", 384, "bfloat16"), id="scan, backward", marks=pytest.mark.slow),
        pytest.param(biwkv_call("forward", "bfloat16"), id="Bi-WKV", marks=pytest.mark.slow),
        pytest.param(biwkv_call("backward", "bfloat16"), id="Bi-WKV, backward", marks=pytest.mark.slow),
    ],
)
def test_other_operators_multiply_no_matrices(call: Callable[[], object]) -> None:
    for kernel in binaries(HOPPER, call):
        assert_safe(kernel)
        assert not warp_group_products(kernel.compiled.asm["ptx"]), kernel.kernel


@triton.jit
def all_that_is_forbidden(a, b, out, inner: tl.constexpr):  # type: ignore[no-untyped-def]
    """A product turned around as the operand of one with 16 columns, which two warp groups share: 8 for each."""
    row, k, column = tl.arange(0, 64), tl.arange(0, inner), tl.arange(0, 16)
    left = tl.load(a + row[:, None] * inner + k[None, :])
    scores = tl.dot(left, tl.trans(left))
    right = tl.load(b + row[:, None] * 16 + column[None, :])
    tl.store(out + row[:, None] * 16 + column[None, :], tl.dot(tl.trans(scores.to(right.dtype)), right))


def test_the_patterns_are_found_where_they_are() -> None:
    a, b, out = (torch.empty(64, n, dtype=torch.bfloat16, device="meta") for n in (32, 16, 16))
    constants: dict[str, Any] = {"inner": 32}
    (kernel,) = binaries(
        HOPPER,
        lambda: kernel_launch.launch_kernel(all_that_is_forbidden, (1, 1, 1), a.device, (a, b, out), constants, 8, 1),
    )
    assert transposed_products(kernel.compiled.asm["ttgir"])
    assert any("n8k" in shape for shape in warp_group_products(kernel.compiled.asm["ptx"]))


def test_a_store_after_a_wait_without_a_barrier_is_found() -> None:
    waiting = "x\n{\nwgmma.wait_group.sync.aligned 0;\n{}st.shared.b32 [%r1], %r2;\n"
    assert unguarded_waits(waiting.replace("{}", ""), 8) == 1
    assert unguarded_waits(waiting.replace("{}", ""), 4) == 0
    assert unguarded_waits(waiting.replace("{}", "bar.sync 0;\n"), 8) == 0


@pytest.mark.parametrize("capability", ["8.0", "8.9", "9.0", "10.0", "12.0"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_default_settings_are_allowed(capability: str, dtype: torch.dtype, pass_: str) -> None:
    assert forbidden(default_settings(capability, dtype, pass_), capability, dtype, pass_) is None  # type: ignore[arg-type]


def test_what_is_forbidden_on_hopper() -> None:
    assert "ptxas" in (forbidden(WALK, "9.0", torch.bfloat16, "backward") or "")
    assert forbidden(WALK_BACK, "9.0", torch.bfloat16, "backward") is None
    for capability, dtype in (("gfx942", torch.bfloat16), ("9.0", torch.float32)):
        assert "spills" in (forbidden(WALK_BACK, capability, dtype, "backward") or "")
    assert forbidden(WALK, "9.0", torch.bfloat16, "forward") is None
    small, large = GlaSettings(32, 16, 16, 16, 4, 2, 4, 1), GlaSettings(64, 32, 64, 8, 4, 2, 4, 1)
    half = torch.bfloat16
    assert forbidden(small, "9.0", half, "backward") is None
    assert "ptxas" in (forbidden(large, "9.0", half, "backward") or "")
    assert forbidden(large, "9.0", half, "forward") is None
    assert "11047" in (forbidden(large._replace(warps=8), "9.0", half, "forward") or "")
    assert "10821" in (forbidden(large, "10.0", half, "forward") or "")
    assert forbidden(large._replace(warps=8), "8.0", half, "backward") is None
