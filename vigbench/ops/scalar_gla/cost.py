"""Multiply-adds of scalar-decay linear attention and of SSD (1 MAC = 2 FLOPs).

Functions take the operator's arguments as FlopCounterMode gives them, tensors as shapes; those of a backward begin
with the gradient. q and k may have fewer heads than v: then each serves a group of heads, and counts for each of them.
"""

from collections.abc import Sequence
from typing import Any

import torch

from vigbench.ops.gla.chunks import chunk_size
from vigbench.ops.gla.cost import Sizes
from vigbench.ops.scalar_gla.kernels.settings import default_settings

Shape = Sequence[int]
FORWARD = default_settings("9.0", torch.bfloat16, "forward")  # where no precision is known: half
BACKWARD = default_settings("9.0", torch.bfloat16, "backward")


def _sizes(q: Shape, k: Shape, v: Shape, g_fwd: Shape | None, g_bwd: Shape | None, *_: Any) -> Sizes:
    assert tuple(q) == tuple(k)
    batch, length, heads, value_dim = v
    return Sizes(batch * heads, length, q[-1], value_dim, sum(g is not None for g in (g_fwd, g_bwd)))


def scalar_macs(*shapes: Any, **_: Any) -> int:
    """3 L H K V per image and direction: decay, outer product and read of the recurrence as defined."""
    s = _sizes(*shapes)
    return 3 * s.directions * s.rows * s.length * s.key_dim * s.value_dim


def scalar_macs_backward(*shapes: Any, **_: Any) -> int:
    """Twice the forward: each product has two gradients. What an implementation recomputes does not count."""
    return 2 * scalar_macs(*shapes[1:])


def scalar_special(*shapes: Any) -> int:
    """A decay of each token, head and direction."""
    s = _sizes(*shapes)
    return s.directions * s.rows * s.length


def recurrent_macs_backward(*shapes: Any, **_: Any) -> int:
    """10 K V per token: states twice (decay, outer product), their gradient (the same), reads for q, k, v, and g."""
    return scalar_macs(*shapes[1:]) * 10 // 3


def chunk_macs(*shapes: Any, **_: Any) -> int:
    """Of torch_chunk's forward: scores, their decays and values a pair of tokens; states written, read, decayed."""
    s = _sizes(*shapes)
    return _forward_macs(s, chunk_size(s.length), 1)


def fused_macs(*shapes: Any, **_: Any) -> int:
    """As the Triton kernels do it in half precision: scores anew for each block of values."""
    s = _sizes(*shapes)
    return _forward_macs(s, FORWARD.chunk, -(-s.value_dim // FORWARD.value_block))


def _forward_macs(s: Sizes, chunk: int, times: int) -> int:
    tokens, states = _padded(s, chunk), s.directions * s.key_dim * s.value_dim
    pair = times * (s.key_dim + 1) + s.value_dim
    return tokens * (chunk * pair + 2 * states + 2 * s.directions * s.key_dim) + tokens // chunk * states


def chunk_macs_backward(*shapes: Any, **_: Any) -> int:
    """Of torch_chunk's backward, which computes states and scores anew.

    A pair of tokens costs K three times (scores, gradients of q and k), V twice (gradients of v and of the scores) and
    some decays; a token K V five times a direction (states, their gradients, and what q, k and v get from them).
    """
    s = _sizes(*shapes[1:])
    return _backward_macs(s, chunk_size(s.length), 3 * s.key_dim + 2 * s.value_dim)


def fused_macs_backward(*shapes: Any, **_: Any) -> int:
    """As the Triton kernels do it in half precision.

    Scores come once for each block of values and once more; their gradients twice, with queries and with keys in the
    rows, and anew for each block of keys.
    """
    s = _sizes(*shapes[1:])
    value_blocks, key_blocks = (
        -(-dim // block) for dim, block in ((s.value_dim, BACKWARD.value_block), (s.key_dim, BACKWARD.key_block))
    )
    pair = (value_blocks + 3) * s.key_dim + (1 + 2 * key_blocks) * s.value_dim
    return _backward_macs(s, BACKWARD.chunk, pair)


def _backward_macs(s: Sizes, chunk: int, pair: int) -> int:
    tokens, states = _padded(s, chunk), s.directions * s.key_dim * s.value_dim
    pairs = chunk * (pair + 2 + s.directions)
    return tokens * (pairs + 5 * states + 7 * s.directions * s.key_dim) + 3 * tokens // chunk * states


def _padded(s: Sizes, chunk: int) -> int:
    return s.rows * -(-s.length // chunk) * chunk


def ssd_elementwise_macs(x: Shape, d: Shape | None) -> int:
    """dt x, dt a and, where there is one, d x: each once."""
    batch, length, heads, value_dim = x
    return batch * length * heads * (value_dim * (1 if d is None else 2) + 1)


def core_shapes(x: Shape, dt: Shape, _: Shape, b: Shape, c: Shape, *__: Any) -> tuple[Shape, Shape, Shape, Shape, None]:
    """The recurrence inside an SSD, as the operator's own arguments: q, k, v and the log-decays of one direction."""
    return c, b, x, dt, None
