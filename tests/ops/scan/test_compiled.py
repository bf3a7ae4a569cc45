"""Compiled ahead of time for GPUs that need not be there: no spill, and no more shared memory than a block can have."""

from importlib.util import find_spec
from itertools import product

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

import torch

from tests.ops.gla.compiling import SHARED_LIMIT, Resources, compiled
from vigbench.ops.causal_conv import triton_fused as conv
from vigbench.ops.scan.kernels import launch
from vigbench.ops.scan.operator import Arguments

STATE = 16


def scan_resources(
    pass_: str, dim: int, dtype: str, capability: int, length: int = 4097, directions: int = 2, state: int = STATE
) -> list[Resources]:
    """What one call's kernels take; tensors have the strides that Vim's projections produce."""
    kind, rank = getattr(torch, dtype), dim // 32
    with torch.device("meta"):
        u = torch.empty(directions, 2, length, dim, dtype=kind)
        _, B, C = torch.empty(directions, 2, length, rank + 2 * state, dtype=kind).split((rank, state, state), -1)
        z = torch.empty(2, length, 2 * dim, dtype=kind)[..., dim:]
        A, D = torch.empty(directions, dim, state), torch.empty(directions, dim)
        given = Arguments(u, u, A, B, C, D, z, D, 0.5, True, False)
        grad = torch.empty(2, length, dim, dtype=kind)
    return compiled(capability, lambda: launch.forward(given) if pass_ == "forward" else launch.backward(grad, given))


def conv_resources(dim: int, dtype: str, capability: int, channels_first: bool) -> list[Resources]:
    """The same of the convolution, forward and backward."""
    kind = getattr(torch, dtype)
    with torch.device("meta"):
        x = torch.empty(2, 4097, 2 * dim, dtype=kind)[..., :dim]
        weight, bias = torch.empty(2, dim, 4, dtype=kind), torch.empty(2, dim, dtype=kind)
        grad = torch.empty(2, 2, 4097, dim, dtype=kind)

    def both_ways() -> None:
        conv._forward(x, weight, bias, channels_first)
        conv._backward(grad, x, weight, bias, channels_first)

    return compiled(capability, both_ways)


def assert_fits(kernels: list[Resources], capability: int) -> None:
    assert kernels
    for kernel in kernels:
        assert kernel.stack == 0, f"{kernel} spills registers"
        assert kernel.shared <= SHARED_LIMIT[capability], f"{kernel} would not launch"
        assert kernel.registers <= 255


@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_the_shape_of_vim_fits_hopper(pass_: str) -> None:
    kernels = scan_resources(pass_, 384, "bfloat16", 90)
    names = {kernel.kernel for kernel in kernels}
    assert names >= {"scan_states", "carry_states", "scan_outputs" if pass_ == "forward" else "scan_gradients"}
    assert_fits(kernels, 90)


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED_LIMIT)
def test_every_variant_fits(capability: int) -> None:
    for pass_, dim, dtype in product(("forward", "backward"), (384,), ("bfloat16", "float32")):
        assert_fits(scan_resources(pass_, dim, dtype, capability), capability)
    for state, directions in ((8, 2), (64, 1)):
        for pass_ in ("forward", "backward"):
            kernels = scan_resources(pass_, 384, "bfloat16", capability, state=state, directions=directions)
            assert_fits(kernels, capability)


@pytest.mark.parametrize("capability", SHARED_LIMIT)
@pytest.mark.parametrize("channels_first", [False, True])
def test_the_convolution_fits(capability: int, channels_first: bool) -> None:
    for dtype in ("bfloat16", "float32"):
        kernels = conv_resources(384, dtype, capability, channels_first)
        assert len(kernels) == 3
        assert_fits(kernels, capability)


def test_another_length_compiles_nothing_new() -> None:
    """Vim's lengths from 384 px on: a token more than patches."""
    seen: set[int] = set()
    for length in (577, 1025, 2305, 4097, 9217):
        seen |= {kernel.identity for kernel in scan_resources("forward", 384, "bfloat16", 90, length)}
    assert len(seen) == 3  # states, their way from segment to segment, outputs
