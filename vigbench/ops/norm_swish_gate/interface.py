"""The norm and its gate for models: casts, and which code computes them."""

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor


def norm_swish_gate(o: Tensor, gate: Tensor, weight: Tensor, eps: float, fused: bool) -> Tensor:
    """rms_norm(o) * gate * sigmoid(gate): DiG's (arXiv 2405.18428, section 3), fla's FusedRMSNormSwishGate.

    Args:
        o, gate: (..., heads, dim), one dtype; the norm is over dim.
        weight: (dim,), of the norm.
        eps: added to the mean square.
        fused: one Triton kernel that reads each tensor once and sums in float32, instead of one pass for each step.
            Needs a CUDA device (or Triton's interpreter).

    Returns:
        (..., heads, dim), dtype of o.
    """
    gate, weight = gate.to(o.dtype), weight.to(o.dtype)
    if fused:
        out: Tensor = getattr(torch.ops.vigbench, _define())(o, gate, weight, eps)
        return out
    return step_by_step(o, gate, weight, eps)


def step_by_step(o: Tensor, gate: Tensor, weight: Tensor, eps: float) -> Tensor:
    """The same in plain PyTorch, of tensors of one dtype."""
    return F.rms_norm(o, o.shape[-1:], weight, eps) * F.silu(gate)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch.compile need not trace an import
def _define() -> str:
    """The operator's name, once it is defined."""
    importlib.import_module("vigbench.ops.norm_swish_gate.triton_fused")
    return "norm_swish_gate"
