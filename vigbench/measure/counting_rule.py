"""Which operators are free by the counting rule of docs/measurement.md, and which are merely unknown."""

from __future__ import annotations

import torch
from torch._ops import OpOverload

# Elementwise operators and reductions carry a tag, views say so themselves; the rest is named here.
_NORMS = ("layer_norm", "group_norm", "batch_norm", "rms_norm", "softmax", "instance_norm", "normalize")
_POOLING_AND_RESAMPLING = ("pool", "upsample", "grid_sampler", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle")
_DATA_MOVEMENT = (
    "cat",
    "stack",
    "clone",
    "contiguous",
    "to_copy",
    "copy",
    "lift_fresh",
    "constant_pad_nd",
    "reflection_pad2d",
    "replication_pad2d",
    "as_strided",
    "roll",
    "flip",
    "index",
    "index_select",
    "index_put",
    "gather",
    "scatter",
    "embedding",
    "embedding_dense",
    "repeat",
    "unfold",
    "im2col",
    "col2im",
    "unsafe_split",
    "sort",
    "topk",
    "dropout",
    "unsafe_view",
    "tril",
    "triu",
    "fill",
    "masked_fill",
    "unsafe_index",
    "unsafe_index_put",
    "masked_scatter",
    "detach",
)
_UNTAGGED_ELEMENTWISE = ("log_sigmoid", "prelu", "prelu_kernel", "hardswish", "glu", "rrelu_with_noise")
_LOSSES = ("nll_loss", "nll_loss2d", "binary_cross_entropy", "mse_loss", "smooth_l1_loss", "huber_loss")
_RANDOM = ("bernoulli", "uniform", "normal", "exponential", "random")
_CREATION = (
    "empty",
    "zeros",
    "ones",
    "full",
    "new_",
    "arange",
    "linspace",
    "eye",
    "scalar_tensor",
    "rand",
)


def is_zero_by_rule(operator: OpOverload) -> bool:
    """Whether the rule counts this operator as zero: elementwise, norm, loss, pooling, data movement, creation.

    A backward operator is what its forward is. What is neither this nor has a formula is unknown, and is named.
    """
    if operator.namespace not in ("aten", "prims", "prim"):
        return False
    if operator.is_view or torch.Tag.pointwise in operator.tags:
        return True
    reduction = getattr(torch.Tag, "reduction", None)  # newer than torch 2.9
    if reduction is not None and reduction in operator.tags:
        return True
    name = operator.overloadpacket.__name__
    forward = getattr(torch.ops.aten, name.removesuffix("_backward"), None) if name.endswith("_backward") else None
    if forward is not None:
        return is_zero_by_rule(getattr(forward, forward.overloads()[0]))
    base = name.strip("_").removesuffix("_forward").removesuffix("_backward")
    return (
        any(part in name for part in (*_NORMS, *_POOLING_AND_RESAMPLING))
        or base in (*_DATA_MOVEMENT, *_UNTAGGED_ELEMENTWISE, *_LOSSES, *_RANDOM)
        or any(base.startswith(prefix) for prefix in _CREATION)
        or base
        in ("mean", "sum", "amax", "amin", "max", "min", "argmax", "var", "var_mean", "std", "linalg_vector_norm")
    )
