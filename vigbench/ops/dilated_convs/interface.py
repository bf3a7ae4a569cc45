"""The dilated convolutions for users: checks and the choice of implementation."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from vigbench.ops import dispatch
from vigbench.ops.dilated_convs.reference import reference
from vigbench.ops.dispatch import autocasts, computed_dtype, load_operator
from vigbench.ops.precision import DTYPES

BRANCHES = 3
NAMES = ("weights", "biases", "norm_weights", "norm_biases", "slopes")


def dilated_convs(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    norm_weights: Sequence[Tensor],
    norm_biases: Sequence[Tensor],
    slopes: Sequence[Tensor],
    eps: float = 1e-5,
    implementation: str = "auto",
) -> Tensor:
    """The parallel branches of GLIMS' dilated convolution block (arXiv 2404.17854), side by side. Differentiable.

    Branch i = 1, 2, 3 is prelu_i(norm_i(conv_i(x))): a depthwise 3x3x3 convolution with dilation and padding i, a
    GroupNorm with a group for each channel, and PReLU with one slope.

    Args:
        x: (batch, channels, depth, height, width), at least one of each but batch; any strides. Half precision,
            float32 or float64.
        weights, biases: of the convolutions, three of (channels, 1, 3, 3, 3) and of (channels,).
        norm_weights, norm_biases: of the norms, three of (channels,) each.
        slopes: of PReLU for negative numbers, three of (1,).
        eps: added to the variance, which is that of a sample's channel, biased.
        implementation: a name from `list_implementations("dilated_convs")`, or "auto" for the first one that the
            device and the dtype support.

    Parameters of another dtype than x are cast to it; under autocast all is computed in autocast's dtype, norms in
    float32.

    Returns:
        (batch, 3 * channels, depth, height, width), dtype of x, or autocast's. Statistics are kept in float32 for half
        precision. The gradients of the biases are zero: each norm takes away what they add. `reference` gives what
        rounding leaves of that.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the implementation is unknown or cannot run here.
    """
    groups = (weights, biases, norm_weights, norm_biases, slopes)
    _check(x, groups)
    dtype = computed_dtype(x)
    kept = () if not autocasts(x.device.type) else NAMES[2:]
    x = x.to(dtype)
    given = [
        tensor if name in kept else tensor.to(dtype)
        for name, group in zip(NAMES, groups, strict=True)
        for tensor in group
    ]
    name = dispatch.selected_implementation("dilated_convs", implementation, x, *given)
    if name == "reference":
        return reference(x, *given, eps)
    trains = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *given))
    out: Tensor = load_operator("dilated_convs", name)(x, *given, eps, trains)[0]
    return out


def _check(x: Tensor, groups: Sequence[Sequence[Tensor]]) -> None:
    if x.ndim != 5 or 0 in x.shape[1:]:
        raise ValueError(
            f"x is {tuple(x.shape)}: pass (batch, channels, depth, height, width), at least one of each but batch"
        )
    if x.dtype not in DTYPES:
        raise ValueError(f"x is {x.dtype}: pass one of float16, bfloat16, float32, float64")
    channels = x.shape[1]
    shapes = ((channels, 1, 3, 3, 3), (channels,), (channels,), (channels,), (1,))
    for name, group, shape in zip(NAMES, groups, shapes, strict=True):
        if len(group) != BRANCHES:
            raise ValueError(f"{name} has {len(group)} tensors: pass {BRANCHES}, one a branch")
        for tensor in group:
            if tensor.shape != shape:
                raise ValueError(f"one of {name} is {tuple(tensor.shape)} but x is {tuple(x.shape)}: pass {shape}")
    for tensor in chain.from_iterable(groups):
        if tensor.device != x.device:
            raise ValueError(f"a parameter is on {tensor.device} but x is on {x.device}: move them to one device")
