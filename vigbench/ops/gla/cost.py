"""Multiply-adds of gated linear attention (1 MAC = 2 FLOPs), from shapes (batch, length, heads, dim).

Functions take the operator's arguments as FlopCounterMode gives them, tensors as shapes; those of a backward begin
with the gradient.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from vigbench.ops.gla.chunks import chunk_size
from vigbench.ops.gla.kernels.settings import default_settings

Shape = Sequence[int]
BACKWARD = default_settings("9.0", torch.bfloat16, "backward")  # where no precision is known: half


class Sizes(NamedTuple):
    """Sequences in the batch and heads together, their length, and K and V of a head."""

    rows: int
    length: int
    key_dim: int
    value_dim: int
    directions: int


def _sizes(q: Shape, k: Shape, v: Shape, g_fwd: Shape | None, g_bwd: Shape | None, *_: Any) -> Sizes:
    assert tuple(q) == tuple(k)
    batch, length, heads, key_dim = q
    return Sizes(batch * heads, length, key_dim, v[-1], sum(g is not None for g in (g_fwd, g_bwd)))


def gla_macs(*shapes: Any, **_: Any) -> int:
    """3 L H K V per image and direction: decay, outer product and read of the recurrence as defined."""
    s = _sizes(*shapes)
    return 3 * s.directions * s.rows * s.length * s.key_dim * s.value_dim


def gla_macs_backward(*shapes: Any, **_: Any) -> int:
    """Twice the forward: each product has two gradients. What an implementation recomputes does not count."""
    return 2 * gla_macs(*shapes[1:])


def gla_special(*shapes: Any) -> int:
    """A decay of each token, head, key channel and direction."""
    s = _sizes(*shapes)
    return s.directions * s.rows * s.length * s.key_dim


def logits_special(*shapes: Any) -> int:
    """Besides decays an exponential and a logarithm for each log-decay."""
    return 3 * gla_special(*shapes)


def low_rank_special(q: Shape, k: Shape, v: Shape, *gate: Any) -> int:
    """The same."""
    return logits_special(q, k, v, *_directions(q, *gate))


def recurrent_macs_backward(*shapes: Any, **_: Any) -> int:
    """10 K V per token: states twice (decay, outer product), their gradient (the same), reads for q, k, v, and g."""
    return gla_macs(*shapes[1:]) * 10 // 3


def chunk_products(*shapes: Any, **_: Any) -> int:
    """Matrix products of the chunkwise forward on the padded length, where no chunk has strong decays.

    A pair of tokens costs K a direction (scores) and V once; a token K V twice a direction (states written, read).
    """
    s, tokens, chunk = _padded(*shapes)
    return tokens * (chunk * (s.directions * s.key_dim + s.value_dim) + 2 * s.directions * s.key_dim * s.value_dim)


def chunk_products_backward(*shapes: Any, **_: Any) -> int:
    """Matrix products of the chunkwise backward, which computes states and scores anew.

    A pair of tokens costs K three times a direction (scores, gradients of q and k) and V twice (gradients of v and of
    the scores); a token K V five times a direction (states, their gradients, and what q, k and v get from them).
    """
    s, tokens, chunk = _padded(*shapes[1:])
    pair = 3 * s.directions * s.key_dim + 2 * s.value_dim
    return tokens * (chunk * pair + 5 * s.directions * s.key_dim * s.value_dim)


def unfused_macs(*shapes: Any, **_: Any) -> int:
    """As the chunkwise forward of each direction by itself: scores meet the values once a direction."""
    s, tokens, chunk = _padded(*shapes)
    return chunk_macs(*shapes) + (s.directions - 1) * tokens * chunk * s.value_dim


def fused_macs_backward(*shapes: Any, **_: Any) -> int:
    """The chunkwise backward as the Triton kernels do it in half precision.

    Its chunks are smaller, gradients of scores come twice, with queries and with keys in the rows, and anew for each
    block of keys.
    """
    s = _sizes(*shapes[1:])
    return _triton_macs_backward(s, s.directions * s.key_dim, 1)


def unfused_macs_backward(*shapes: Any, **_: Any) -> int:
    """As the fused backward of each direction by itself: all products with the values once a direction."""
    s = _sizes(*shapes[1:])
    return _triton_macs_backward(s, s.directions * s.key_dim, s.directions)


def _triton_macs_backward(s: Sizes, keys: int, passes: int) -> int:
    """`keys`: key channels of all directions; `passes`: how often scores of all directions meet the values."""
    tokens = s.rows * -(-s.length // BACKWARD.chunk) * BACKWARD.chunk
    pair = 3 * keys + passes * s.value_dim * (1 + 2 * -(-s.key_dim // BACKWARD.key_block))
    states = 5 * keys * s.value_dim
    return tokens * (BACKWARD.chunk * pair + states) + keys * (16 * tokens + 3 * tokens // BACKWARD.chunk * s.value_dim)


def chunk_macs(*shapes: Any, **_: Any) -> int:
    """The products, two decay factors each on q and k of a direction, and the decay of a state once a chunk."""
    s, tokens, chunk = _padded(*shapes)
    return chunk_products(*shapes) + s.directions * s.key_dim * (4 * tokens + tokens // chunk * s.value_dim)


def chunk_macs_backward(*shapes: Any, **_: Any) -> int:
    """The products, the decay factors on inputs and gradients, the products that give the gradient of g, the states."""
    s, tokens, chunk = _padded(*shapes[1:])
    return chunk_products_backward(*shapes) + s.directions * s.key_dim * (
        16 * tokens + 3 * tokens // chunk * s.value_dim
    )


def low_rank_macs(q: Shape, k: Shape, v: Shape, *gate: Any, **_: Any) -> int:
    """The recurrence in each direction, and the product that gives the gates' logits."""
    return gla_macs(q, k, v, *_directions(q, *gate)) + _logits_macs(*gate)


def low_rank_macs_backward(grad: Shape, q: Shape, k: Shape, v: Shape, *gate: Any, **_: Any) -> int:
    """Twice the forward."""
    return gla_macs_backward(grad, q, k, v, *_directions(q, *gate)) + 2 * _logits_macs(*gate)


def low_rank_chunk_macs(q: Shape, k: Shape, v: Shape, *gate: Any, **_: Any) -> int:
    """The chunkwise forward, with logits computed for the states and again for the outputs."""
    return chunk_macs(q, k, v, *_directions(q, *gate)) + 3 * _logits_macs(*gate)


def low_rank_chunk_macs_backward(grad: Shape, q: Shape, k: Shape, v: Shape, *gate: Any, **_: Any) -> int:
    """The fused backward, with logits computed wherever gates are used, and their gradient's two products."""
    value_blocks = -(-v[-1] // BACKWARD.value_block)
    times = 2 + 2 * value_blocks + 3  # for the states, for the gradients of v, for those of q, k and the gates
    return fused_macs_backward(grad, q, k, v, *_directions(q, *gate)) + (times + 2) * _logits_macs(*gate)


def _directions(q: Shape, a: Shape, weight: Shape, *_: Any) -> tuple[Shape, Shape | None]:  # noqa: ARG001  in order
    """What log-decays there would be of each direction."""
    return q, q if weight[0] == 2 else None


def _logits_macs(a: Shape, weight: Shape, *_: Any) -> int:
    batch, length, rank = a
    return batch * length * rank * math.prod(weight[:3])


def _padded(*shapes: Any) -> tuple[Sizes, int, int]:
    s = _sizes(*shapes)
    chunk = chunk_size(s.length)
    return s, s.rows * -(-s.length // chunk) * chunk, chunk
