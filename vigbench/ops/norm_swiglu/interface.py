"""The MLP for models: casts, and which code computes it."""

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.dispatch import computed_dtype


def norm_swiglu(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor | None,
    gate_weight: Tensor,
    down_weight: Tensor,
    eps: float,
    residual: bool = True,
) -> Tensor:
    """x + down(silu(gate) * up) with gate, up = halves of gate_weight norm(x) (SwiGLU, arXiv 2002.05202, section 2).

    Triton kernels: sums in float32, the hidden layer in the dtype of the products.

    Args:
        x: (..., dim). Half precision, or float32 under autocast: products are in autocast's dtype.
        norm_weight: (dim,). RMSNorm without `norm_bias`, LayerNorm with it.
        gate_weight: (2 * hidden, dim); its first half is the gate's.
        down_weight: (dim, hidden).
        eps: added to the mean square.
        residual: whether x is added.

    Returns:
        Like x.
    """
    dtype = computed_dtype(x)
    operator = getattr(torch.ops.vigbench, _define())
    weights = gate_weight.to(dtype), down_weight.to(dtype)
    out: Tensor = operator(x, norm_weight, norm_bias, *weights, eps, residual)
    return out


def step_by_step(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor | None,
    gate_weight: Tensor,
    down_weight: Tensor,
    eps: float,
    residual: bool,
) -> Tensor:
    """The same in plain PyTorch, of tensors of one dtype."""
    shape = x.shape[-1:]
    normal = (
        F.rms_norm(x, shape, norm_weight, eps)
        if norm_bias is None
        else F.layer_norm(x, shape, norm_weight, norm_bias, eps)
    )
    gate, up = F.linear(normal, gate_weight).chunk(2, dim=-1)
    out = F.linear(F.silu(gate) * up, down_weight)
    return x + out if residual else out


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch.compile need not trace an import
def _define() -> str:
    """The operator's name, once it is defined."""
    importlib.import_module("vigbench.ops.norm_swiglu.triton_fused")
    return "norm_swiglu"
