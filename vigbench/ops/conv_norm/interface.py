"""The first convolution for models: casts, and which code computes it."""

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.dispatch import computed_dtype


def conv_norm(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    stride: int,
    padding: int,
    eps: float,
) -> Tensor:
    """silu(layer_norm(conv(images))), with the norm over channels.

    Args:
        images: (batch, channels, height, width), any strides.
        weight: (dim, channels, size, size); bias: (dim,), of the convolution.
        norm_weight, norm_bias: (dim,).
        stride, padding: of the convolution, the same along both sides.
        eps: added to the variance.

    Returns:
        (batch, rows, columns, dim), dtype of images, or autocast's. Sums are kept in float32.
    """
    dtype = computed_dtype(images)
    operator = getattr(torch.ops.vigbench, _define())
    tensors = (x.to(dtype) for x in (images, weight, bias, norm_weight, norm_bias))
    out: Tensor = operator(*tensors, stride, padding, eps, images.requires_grad)
    return out


def step_by_step(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    stride: int,
    padding: int,
    eps: float,
    grad_images: bool = True,  # noqa: ARG001  what the operator has to know
) -> Tensor:
    """The same in plain PyTorch, of tensors of one dtype."""
    out = F.conv2d(images, weight, bias, stride, padding).permute(0, 2, 3, 1)
    return F.silu(F.layer_norm(out, norm_weight.shape, norm_weight, norm_bias, eps))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch.compile need not trace an import
def _define() -> str:
    """The operator's name, once it is defined."""
    importlib.import_module("vigbench.ops.conv_norm.triton_fused")
    return "conv_norm"
