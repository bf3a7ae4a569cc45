"""The gated norm for models: casts, and which code computes it."""

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.registry import list_implementations

FUSED_WITH = tuple(one.name for one in list_implementations("gla") if one.fused_blocks)
"""Implementations of the operator whose output goes through the fused kernel, too: it is the same for all of them."""


def gated_norm(
    o: Tensor,
    local: Tensor,
    gate: Tensor,
    o_weight: Tensor,
    local_weight: Tensor,
    eps: float,
    act: bool,
    fused: bool,
) -> Tensor:
    """lerp(rms_norm(local), rms_norm(o), sigmoid(gate)), then SiLU if `act` (ViG, arXiv 2405.18425, section 3.2).

    Args:
        o, local, gate: (..., heads, dim), one dtype; norms are over dim. `gate` may be overwritten.
        o_weight, local_weight: (dim,), of the norms.
        eps: added to the mean square.
        fused: one Triton kernel that reads each tensor once and sums in float32, instead of one pass for each step.
            Needs a CUDA device (or Triton's interpreter).

    Returns:
        (..., heads, dim), dtype of o.
    """
    weights = o_weight.to(o.dtype), local_weight.to(o.dtype)
    if fused:
        operator = getattr(torch.ops.vigbench, _define())
        out: Tensor = operator(o, local.to(o.dtype), gate.to(o.dtype), *weights, eps, act)
        return out
    return step_by_step(o, local, gate, *weights, eps, act)


def step_by_step(
    o: Tensor, local: Tensor, gate: Tensor, o_weight: Tensor, local_weight: Tensor, eps: float, act: bool
) -> Tensor:
    """The same in plain PyTorch, of tensors and weights of one dtype; overwrites `gate`."""
    o, local = (F.rms_norm(x, x.shape[-1:], w, eps) for x, w in ((o, o_weight), (local, local_weight)))
    mixed = torch.lerp(local, o, gate.sigmoid_())
    return F.silu(mixed) if act else mixed


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch.compile need not trace an import
def _define() -> str:
    """The operator's name, once it is defined."""
    importlib.import_module("vigbench.ops.gated_norm.triton_fused")
    return "gated_norm"
