"""The start of a mixer for models: casts, and which code computes it."""

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.dispatch import computed_dtype


def norm_conv(
    x: Tensor, norm_weight: Tensor, norm_bias: Tensor | None, weight: Tensor, eps: float, act: bool
) -> Tensor:
    """conv(norm(x)), then SiLU if `act`: a depthwise 3x3 convolution with zeros around (ViG, arXiv 2405.18425, 3.3).

    Args:
        x: (batch, rows, columns, dim).
        norm_weight: (dim,). RMSNorm without `norm_bias`, LayerNorm with it.
        weight: (dim, 1, 3, 3).
        eps: added to the mean square.

    Returns:
        (batch, rows, columns, dim), dtype of x, or autocast's. Sums are kept in float32.
    """
    dtype = computed_dtype(x)
    operator = getattr(torch.ops.vigbench, _define())
    out: Tensor = operator(x, norm_weight, norm_bias, weight.to(dtype), eps, act)
    return out


def step_by_step(
    x: Tensor, norm_weight: Tensor, norm_bias: Tensor | None, weight: Tensor, eps: float, act: bool
) -> Tensor:
    """The same in plain PyTorch, of tensors of one dtype."""
    shape = x.shape[-1:]
    if norm_bias is None:
        normal = F.rms_norm(x, shape, norm_weight, eps)
    else:
        normal = F.layer_norm(x, shape, norm_weight, norm_bias, eps)
    out = F.conv2d(normal.permute(0, 3, 1, 2), weight, padding=1, groups=shape[0]).permute(0, 2, 3, 1)
    return F.silu(out) if act else out


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch.compile need not trace an import
def _define() -> str:
    """The operator's name, once it is defined."""
    importlib.import_module("vigbench.ops.norm_conv.triton_fused")
    return "norm_conv"
