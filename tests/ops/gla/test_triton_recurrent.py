"""What users meet of the recurrent kernel; interpreted/ and test_compiled.py have the kernel itself."""

from importlib.util import find_spec

import pytest
import torch

from vigbench.ops.gla import bidirectional_gla

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


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
