"""FLOP formulas of torch's own operators: those that torch lacks, in any version from 2.9 on, or has another way.

FLOPs are 2 x multiply-adds by the rule of docs/measurement.md: attention counts its two products, masks are not looked
at, and grouped queries count as if each had keys of its own. What has a formula here does not need torch's; vigbench's
operators bring theirs with them (`ops/cost.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch._ops import OpOverloadPacket
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
