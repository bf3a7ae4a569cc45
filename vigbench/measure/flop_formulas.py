"""FLOPs of operators by name, for docs/measurement.md's counting rule: where torch lacks a formula or has another way.

FLOPs are 2 x multiply-adds. Tensors come as their shapes, the result as `out_shape`. Attention counts its two products:
masks are not looked at, and grouped queries count as if each had keys of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

Shape = Sequence[int]
Formula = Callable[..., int]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Scores, and the sum of values; (batch, heads, length, dim) each."""
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _attention_backward(_gradient: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Scores once more, then the gradients of values, weights, queries and keys, as torch counts flash attention."""
    return 2 * prod(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1])


def _attention_heads_last(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """(batch, length, heads, dim) each, as flash-attn takes them."""
    return 2 * prod(query[:-1]) * key[1] * (query[-1] + value[-1])


def _attention_heads_last_backward(_gradient: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(query[:-1]) * key[1] * (3 * query[-1] + 2 * value[-1])


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


def _products(first: Sequence[Shape], second: Sequence[Shape], **__: Any) -> int:
    return sum(map(_product, first, second))


def _grouped_product(first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    """Groups of rows, columns or summands: of all groups together as much as of one; only batches have more."""
    batch = first[0] if len(first) == len(second) == 3 else 1
    return batch * _product(first[-2:], second[-2:])


def _linear(rows: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """Weights that are packed, and say nothing of their shape."""
    return 2 * prod(rows) * out_shape[-1]


def _trilinear(first: Shape, second: Shape, third: Shape, *rest: Any, **__: Any) -> int:
    """`nn.Bilinear`: the first two, summed over what the third does not have, then the product with the third.

    `rest` begins with the dimensions that each of them lacks, and those that are summed over.
    """
    lacking, summed = rest[:3], rest[3]
    one, other, last = (_with_ones(shape, dims) for shape, dims in zip((first, second, third), lacking, strict=True))
    both = list(map(max, one, other))
    left = [1 if dim in summed and dim in lacking[2] else size for dim, size in enumerate(both)]
    return 2 * (prod(both) + prod(map(max, left, last)))


def _with_ones(shape: Shape, dims: Sequence[int]) -> list[int]:
    sizes = list(shape)
    for dim in dims:
        sizes.insert(dim, 1)
    return sizes


def _distances(first: Shape, _second: Shape, exponent: float = 2, *_: Any, out_shape: Shape, **__: Any) -> int:
    """Euclidean distances of all pairs are a product of matrices; others are differences and sums, which are free."""
    return 2 * prod(out_shape) * first[-1] if exponent == 2 else 0


def _distances_backward(gradient: Shape, first: Shape, second: Shape, exponent: float, *_: Any, **__: Any) -> int:
    return _distances(first, second, exponent, out_shape=gradient)


def _convolution(_image: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return 2 * out_shape[0] * prod(out_shape[2:]) * prod(weight)


def _convolution_backward(gradient: Shape, image: Shape, weight: Shape, *rest: Any, **__: Any) -> int:
    """Each gradient that is asked for, of image and weight, costs as much as the forward; torch's forgets groups."""
    transposed, wanted = rest[4], rest[7]
    spread = image if transposed else gradient  # what each weight is applied at
    return int(2 * sum(wanted[:2]) * spread[0] * prod(spread[2:]) * prod(weight))


def _deformed_convolution_backward(gradient: Shape, image: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    return 2 * _convolution(image, weight, out_shape=gradient)


def _time_first_convolution(_sequence: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """Of (time, batch, channels) with weights of (kernel, inputs, outputs)."""
    return 2 * prod(out_shape) * prod(weight[:2])


def _recurrent_layer(steps: Shape, of_inputs: Shape, of_states: Shape, *_: Any, **__: Any) -> int:
    """Every step multiplies its inputs and the states before it by the weights of all gates."""
    return 2 * prod(steps[:-1]) * (prod(of_inputs) + prod(of_states))


def _recurrent_layers(steps: Shape, weights: Sequence[Shape], *_: Any, **__: Any) -> int:
    return 2 * prod(steps[:-1]) * sum(prod(weight) for weight in weights if len(weight) > 1)


def _twice(formula: Formula) -> Formula:
    """A backward pass: the gradients of inputs and of weights cost as much as the forward each."""
    return lambda *args, **kwargs: 2 * formula(*args, **kwargs)


def _grid(transform: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """Each coordinate of each point is a row of the transform times the point."""
    return 2 * prod(out_shape) * transform[-1]


_BY_FORMULA: tuple[tuple[Formula, str], ...] = (
    (
        _attention,
        """aten._scaled_dot_product_cudnn_attention aten._scaled_dot_product_efficient_attention
        aten._scaled_dot_product_flash_attention aten._scaled_dot_product_flash_attention_for_cpu
        aten._scaled_dot_product_fused_attention_overrideable aten._scaled_dot_product_attention_math_for_mps""",
    ),
    (
        _attention_backward,
        """aten._scaled_dot_product_cudnn_attention_backward aten._scaled_dot_product_efficient_attention_backward
        aten._scaled_dot_product_flash_attention_backward aten._scaled_dot_product_flash_attention_for_cpu_backward
        aten._scaled_dot_product_fused_attention_overrideable_backward""",
    ),
    (_attention_heads_last, "flash_attn._flash_attn_forward"),
    (_attention_heads_last_backward, "flash_attn._flash_attn_backward"),
    (_multi_head_attention, "aten._native_multi_head_attention"),
    (_encoder_layer, "aten._transformer_encoder_layer_fwd"),
    (_product, "aten.mv aten.dot aten.vdot aten._int_mm aten._scaled_mm_v2"),
    (
        _product_added,
        """aten.addmm_ aten.addmv aten.addmv_ aten.addbmm aten.addbmm_ aten.baddbmm_ aten._addmm_activation
        aten._sparse_addmm""",
    ),
    (_products, "aten._foreach_mm"),
    (_grouped_product, "aten._grouped_mm aten._scaled_grouped_mm aten._scaled_grouped_mm_v2"),
    (
        _linear,
        """aten._weight_int8pack_mm aten._weight_int4pack_mm aten._weight_int4pack_mm_for_cpu
        aten._dyn_quant_matmul_4bit aten._mixed_dtypes_linear aten._sparse_semi_structured_linear aten.mkldnn_linear
        quantized.linear quantized.linear_relu quantized.linear_dynamic quantized.linear_relu_dynamic
        quantized.linear_dynamic_fp16 quantized.linear_relu_dynamic_fp16""",
    ),
    (_trilinear, "aten._trilinear"),
    (_distances, "aten._cdist_forward aten._euclidean_dist"),
    (_distances_backward, "aten._cdist_backward"),
    (
        _convolution,
        """aten._conv_depthwise2d aten.conv_depthwise3d aten.slow_conv3d_forward aten.slow_conv_dilated2d
        aten.slow_conv_dilated3d aten.mkldnn_convolution aten.cudnn_convolution_relu aten.cudnn_convolution_add_relu
        aten.miopen_convolution aten.miopen_depthwise_convolution torchvision.deform_conv2d""",
    ),
    (_convolution_backward, "aten.convolution_backward"),
    (_deformed_convolution_backward, "torchvision._deform_conv2d_backward"),
    (_time_first_convolution, "aten.conv_tbc"),
    (_recurrent_layer, "aten.mkldnn_rnn_layer"),
    (_twice(_recurrent_layer), "aten.mkldnn_rnn_layer_backward"),
    (_recurrent_layers, "aten._cudnn_rnn aten.miopen_rnn"),
    (_twice(_recurrent_layers), "aten._cudnn_rnn_backward aten.miopen_rnn_backward"),
    (_grid, "aten.affine_grid_generator aten.cudnn_affine_grid_generator"),
)

BY_NAME: dict[str, Formula] = {name: formula for formula, names in _BY_FORMULA for name in names.split()}
"""By `namespace.operator`; not every version of torch has all of them."""
