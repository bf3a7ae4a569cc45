"""Special functions of an operator call: exponentials, logarithms, roots and what is made of one, one for each.

GPUs compute them in a unit of their own, an eighth to a sixteenth as fast as additions. Counted is what a definition
asks for: an implementation may compute some twice. vigbench's operators bring their counts with them (`ops/cost.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from vigbench.ops.cost import SPECIAL_FUNCTIONS

Count = Callable[..., int]

_ONE_EACH = """
exp exp2 expm1 log log2 log10 log1p log_sigmoid_forward logit sigmoid tanh silu gelu mish softplus elu celu selu erf
sqrt rsqrt sin cos tan softmax log_softmax _softmax _log_softmax _safe_softmax
silu_backward gelu_backward mish_backward softplus_backward log_sigmoid_backward
"""
_SCORES = """
_scaled_dot_product_flash_attention _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_fused_attention_overrideable
"""


def _of_result(*_: Any, out: Any, **__: Any) -> int:
    return next((x.numel() for x in tree_leaves(out) if isinstance(x, Tensor)), 0)


def _of_scores(q: Tensor, k: Tensor, *_: Any, **__: Any) -> int:
    return prod(q.shape[:-1]) * k.shape[-2]


def _of_scores_again(_: Tensor, q: Tensor, k: Tensor, *__: Any, **___: Any) -> int:
    return _of_scores(q, k)


_COUNTS: Mapping[str, Count] = {
    **{f"aten::{name}{end}": _of_result for name in _ONE_EACH.split() for end in ("", "_")},
    **{f"aten::{name}": _of_scores for name in _SCORES.split()},
    **{f"aten::{name}_backward": _of_scores_again for name in _SCORES.split()},
}


def special_functions_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """How many a call needs by its operator's definition; 0 where none is known to."""
    own = SPECIAL_FUNCTIONS.get(func.overloadpacket)
    if own is not None:
        shapes = [tuple(x.shape) if isinstance(x, Tensor) else x for x in args]
        return own(*shapes)
    count = _COUNTS.get(func._schema.name)
    return count(*args, out=out, **kwargs) if count else 0
