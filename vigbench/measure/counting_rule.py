"""The counting rule of docs/measurement.md, operator by operator: FLOPs of torch's own, and which are free by the rule.

Formulas stand here where torch lacks them, in any version from 2.9 on, or has another way. FLOPs are 2 x multiply-adds:
attention counts its two products, masks are not looked at, and grouped queries count as if each had keys of its own.
vigbench's operators bring their formulas with them (`ops/cost.py`). What has no formula and is not free is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket
from torch.utils.flop_counter import flop_registry, shape_wrapper

Shape = Sequence[int]
Formula = Callable[..., int]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Scores, and the sum of values; (batch, heads, length, dim) each."""
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _attention_backward(_gradient: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Scores once more, then the gradients of values, weights, queries and keys, as torch counts flash attention."""
    return 2 * prod(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1])


def _multi_head_attention(query: Shape, key: Shape, _value: Shape, width: int, *_: Any, **__: Any) -> int:
    """Attention with its four projections; (batch, length, width) each."""
    queries, keys = prod(query[:-1]), prod(key[:-1])
    return 2 * (2 * (queries + keys) * width**2 + 2 * queries * key[-2] * width)


def _encoder_layer(tokens: Shape, width: int, *rest: Any, **__: Any) -> int:
    """The whole of a `nn.TransformerEncoderLayer`; `rest` has the weights of its MLP."""
    mlp: int = 2 * prod(tokens[:-1]) * (prod(rest[12]) + prod(rest[14]))
    return _multi_head_attention(tokens, tokens, tokens, width) + mlp


def _product(first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    """Matrices, a batch of them, a matrix and a vector, or two vectors."""
    return 2 * prod(first) * (second[-1] if len(second) > 1 else 1)


def _product_added(_added: Shape, first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    return _product(first, second)


def _convolution_backward(gradient: Shape, image: Shape, weight: Shape, *rest: Any, **__: Any) -> int:
    """Each gradient that is asked for, of image and weight, costs as much as the forward; torch's forgets groups."""
    transposed, wanted = rest[4], rest[7]
    spread = image if transposed else gradient  # what each weight is applied at
    return int(2 * sum(wanted[:2]) * spread[0] * prod(spread[2:]) * prod(weight))


_ATEN: dict[str, Formula] = {
    **dict.fromkeys(
        (
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_fused_attention_overrideable",
            "_scaled_dot_product_attention_math_for_mps",
        ),
        _attention,
    ),
    **dict.fromkeys(
        (
            "_scaled_dot_product_cudnn_attention_backward",
            "_scaled_dot_product_efficient_attention_backward",
            "_scaled_dot_product_flash_attention_backward",
            "_scaled_dot_product_flash_attention_for_cpu_backward",
            "_scaled_dot_product_fused_attention_overrideable_backward",
        ),
        _attention_backward,
    ),
    **dict.fromkeys(("mv", "dot", "vdot", "_int_mm"), _product),
    **dict.fromkeys(("addmm_", "addmv", "addmv_", "baddbmm_", "_addmm_activation"), _product_added),
    "_native_multi_head_attention": _multi_head_attention,
    "_transformer_encoder_layer_fwd": _encoder_layer,
    "convolution_backward": _convolution_backward,
}
FORMULAS: dict[OpOverloadPacket, Formula] = {
    getattr(torch.ops.aten, name): formula for name, formula in _ATEN.items() if hasattr(torch.ops.aten, name)
}
"""What FlopCounterMode takes as `custom_mapping`: tensors come as their shapes."""

_OURS = {packet: shape_wrapper(formula) for packet, formula in FORMULAS.items()}


def formula_of(packet: Any) -> Formula | None:
    """FLOPs from an operator's arguments and `out_val`, its result; None where neither we nor torch have a formula."""
    return _OURS.get(packet) or flop_registry.get(packet)


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
