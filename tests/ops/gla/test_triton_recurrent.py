"""The kernel without a GPU: in Triton's interpreter against the reference, and compiled for Hopper."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from vigbench.ops.gla import bidirectional_gla

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")]

INTERPRET = """
import itertools, torch
from vigbench.ops.gla.reference import reference
from vigbench.ops.gla.triton_recurrent import triton_recurrent

torch.manual_seed(0)
for length, heads, key_dim, value_dim in ((1, 1, 4, 4), (7, 2, 12, 20)):
    q, k, g_fwd, g_bwd = (torch.randn(2, length, heads, key_dim) for _ in range(4))
    v = torch.randn(2, heads, length, value_dim).transpose(1, 2)
    g_fwd, g_bwd = -g_fwd.abs(), -20 * g_bwd.abs()
    g_bwd[:, 0] = -torch.inf
    for gates in ((g_fwd, g_bwd), (g_fwd, None), (None, g_bwd)):
        expected = reference(q, k, v, *gates, 0.5)
        found = triton_recurrent(q, k, v, *gates, 0.5)
        assert (found - expected).abs().max() <= 1e-6 * expected.abs().max(), (length, found, expected)
    half = [x.half() for x in (q, k, v, g_fwd, g_bwd)]
    assert triton_recurrent(*half, 0.5).dtype == torch.float16
    torch.library.opcheck(triton_recurrent, (q, k, v, g_fwd, g_bwd, 0.5))
"""

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from vigbench.ops.gla.triton_recurrent import VALUE_BLOCK, recurrence

sizes = dict(heads=3, key_dim=32, value_dim=64, key_block=32, value_block=VALUE_BLOCK, first_direction=0)
kinds = dict(q="*bf16", k="*bf16", v="*bf16", g_fwd="*bf16", g_bwd="*bf16", out="*fp32")
kinds |= dict(length="i32", rows="i32", scale="fp32") | dict.fromkeys(sizes, "constexpr")
source = ASTSource(recurrence, kinds, {(recurrence.arg_names.index(key),): x for key, x in sizes.items()})
compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 1, "enable_fp_fusion": True})
assert b"ELF" in compiled.asm["cubin"][:4]
assert "st.local" not in compiled.asm["ptx"]
"""


def run(code: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_agrees_with_the_reference_in_the_interpreter() -> None:
    run(INTERPRET, TRITON_INTERPRET="1")


def test_compiles_for_hopper() -> None:
    run(COMPILE, TRITON_INTERPRET="0")


def test_inference_on_gpus_only() -> None:
    x = torch.randn(1, 2, 1, 4)
    with pytest.raises(ValueError, match="triton_recurrent runs on cuda, not on cpu"):
        bidirectional_gla(x, x, x, x, x, implementation="triton_recurrent")
    with pytest.raises(ValueError, match="triton_recurrent has no backward"):
        bidirectional_gla(x.requires_grad_(), x, x, x, x, implementation="triton_recurrent")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_agrees_with_the_reference_on_a_gpu(dtype: torch.dtype) -> None:
    q, k, g_fwd, g_bwd = (torch.randn(2, 197, 3, 32, device="cuda", dtype=dtype) for _ in range(4))
    v = torch.randn(2, 197, 3, 64, device="cuda", dtype=dtype)
    inputs = [q, k, v, -g_fwd.abs() / 16, -g_bwd.abs() / 16]
    expected = bidirectional_gla(*[x.double() for x in inputs], implementation="reference")
    found = bidirectional_gla(*inputs, implementation="triton_recurrent")
    assert (found - expected).abs().max() <= max(1e-6, torch.finfo(dtype).eps) * expected.abs().max()
