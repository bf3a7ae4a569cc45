"""The one form of the convolution's implementations, and what it costs."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch._ops import OpOverload

from vigbench.ops.custom_operator import Backward, CostFormulas, define_operator

SCHEMA = "Tensor x, Tensor weight, Tensor bias, bool channels_first"


def define_causal_conv(name: str, forward: Callable[..., Tensor], backward: Backward) -> OpOverload:
    """An implementation as torch.ops.vigbench.conv_<name>."""
    cost = CostFormulas(_macs, _macs, _macs_backward, _macs_backward, _special)
    return define_operator(f"conv_{name}", forward, backward, cost, SCHEMA, empty_result)


def empty_result(x: Tensor, weight: Tensor, bias: Tensor, channels_first: bool) -> Tensor:  # noqa: ARG001
    """(2, batch, length, dim), in the memory order asked for."""
    batch, length, dim = x.shape
    return x.new_empty(2, batch, dim, length).mT if channels_first else x.new_empty(2, batch, length, dim)


def _macs(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * math.prod(x) * weight[-1]


def _special(x: Sequence[int], *_: Any) -> int:
    """SiLU's, of both directions."""
    return 2 * math.prod(x)


def _macs_backward(grad: Sequence[int], *shapes: Any, **_: Any) -> int:  # noqa: ARG001
    return 2 * _macs(*shapes)
