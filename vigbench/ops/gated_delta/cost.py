"""Multiply-adds of the gated delta rule (1 MAC = 2 FLOPs), from shapes (batch, length, heads, dim).

Functions take the operator's arguments as FlopCounterMode gives them, tensors as shapes; those of a backward begin
with the gradient.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from vigbench.ops.gated_delta.kernels.variant import settings_for
from vigbench.ops.gla.chunks import chunk_size

Shape = Sequence[int]
HALF = settings_for("9.0", torch.bfloat16, gradients=True)  # where no device is known


class DeltaSizes(NamedTuple):
    """Tokens of all sequences, heads and directions together, the length of one, and K and V of a head."""

    tokens: int
    length: int
    key_dim: int
    value_dim: int

    def padded(self, chunk: int) -> int:
        """Tokens of whole chunks."""
        return self.tokens // self.length * -(-self.length // chunk) * chunk


def _sizes(q: Shape, k: Shape, v: Shape, g_fwd: Shape | None, g_bwd: Shape | None, *_: Any) -> DeltaSizes:
    assert tuple(q) == tuple(k)
    batch, length, heads, key_dim = q
    directions = sum(g is not None for g in (g_fwd, g_bwd))
    return DeltaSizes(batch * length * heads * directions, length, key_dim, v[-1])


def delta_macs(*shapes: Any, **_: Any) -> int:
    """4 L H K V + L H V per image and direction: decay, read of the key, outer product, read; strength of writing."""
    s = _sizes(*shapes)
    return s.tokens * token_macs(s.key_dim, s.value_dim)


def token_macs(key_dim: int, value_dim: int) -> int:
    """Of one token, head and direction."""
    return 4 * key_dim * value_dim + value_dim


def delta_macs_backward(*shapes: Any, **_: Any) -> int:
    """Twice the forward: each product has two gradients. What an implementation recomputes does not count."""
    return 2 * delta_macs(*shapes[1:])


def delta_special(*shapes: Any) -> int:
    """A decay of each token, head and direction."""
    return _sizes(*shapes).tokens


def recurrent_macs_backward(*shapes: Any, **_: Any) -> int:
    """16 K V + 5 V per token: states twice, 3 K V + V each, and the chain rule of a step, which reads the key anew."""
    s = _sizes(*shapes[1:])
    return s.tokens * (16 * s.key_dim * s.value_dim + 5 * s.value_dim)


def chunk_products(*shapes: Any, **_: Any) -> int:
    """Matrix products of the chunkwise forward on the padded length, without the triangular system.

    A pair of tokens costs K twice (keys with keys, queries with keys) and V once; a token K V three times (what the
    state holds already, states written, read).
    """
    s, tokens, chunk = _padded(*shapes)
    return tokens * (chunk * (2 * s.key_dim + s.value_dim) + 3 * s.key_dim * s.value_dim)


def chunk_products_backward(*shapes: Any, **_: Any) -> int:
    """Matrix products of the chunkwise backward, which computes states twice: those of segments, then all in each.

    A pair of tokens costs K seven times (keys with keys twice, queries with keys, four gradients) and V three times; a
    token K V ten times (states twice 2, their gradients 3, and what q, k and the strengths get from them).
    """
    s, tokens, chunk = _padded(*shapes[1:])
    return tokens * (chunk * (7 * s.key_dim + 3 * s.value_dim) + 10 * s.key_dim * s.value_dim)


def chunk_macs(*shapes: Any, **_: Any) -> int:
    """The products, the triangular system for K + V columns, the factors on tokens and pairs, a state's decay."""
    s, tokens, chunk = _padded(*shapes)
    return chunk_products(*shapes) + _system(tokens, chunk, s.key_dim + s.value_dim) + _factors(s, tokens, chunk)


def chunk_macs_backward(*shapes: Any, **_: Any) -> int:
    """The products, the system twice and its transpose once for V columns, the factors thrice."""
    s, tokens, chunk = _padded(*shapes[1:])
    systems = _system(tokens, chunk, 2 * s.key_dim + 3 * s.value_dim)
    return chunk_products_backward(*shapes) + systems + 3 * _factors(s, tokens, chunk)


def triton_macs(*shapes: Any, **_: Any) -> int:
    """The chunkwise forward as the Triton kernels do it in half precision, in chunks of their own.

    No system is solved: its inverse is multiplied with K + V columns.
    """
    s = _sizes(*shapes)
    return _triton_products(s, pair_keys=3, pair_values=2, states=3)


def triton_macs_backward(*shapes: Any, **_: Any) -> int:
    """The same, which recomputes systems and states, and multiplies both triangles of each pair's gradients.

    The gradient of the system's right-hand side is computed anew for each block of keys.
    """
    s = _sizes(*shapes[1:])
    again = 1 + -(-s.key_dim // HALF.key_block)
    return _triton_products(s, pair_keys=8, pair_values=6 + again, states=8)


def _triton_products(s: DeltaSizes, pair_keys: int, pair_values: int, states: int) -> int:
    """And the inverse in blocks of 16, the factors on tokens and pairs."""
    chunk = HALF.chunk
    tokens = s.padded(chunk)
    pairs = chunk * (pair_keys * s.key_dim + pair_values * s.value_dim)
    inverse = 16 * chunk + 2 * chunk * chunk
    products = tokens * (pairs + inverse + states * s.key_dim * s.value_dim)
    return products + (states // 3) * _factors(s, tokens, chunk)


def _padded(*shapes: Any) -> tuple[DeltaSizes, int, int]:
    """Sizes, tokens of whole chunks of all sequences, tokens of a chunk."""
    s = _sizes(*shapes)
    chunk = chunk_size(s.length)
    return s, s.padded(chunk), chunk


def _system(tokens: int, chunk: int, columns: int) -> int:
    """Substitution in a triangle of ones on the diagonal."""
    return tokens * (chunk - 1) * columns // 2


def _factors(s: DeltaSizes, tokens: int, chunk: int) -> int:
    """Decays of pairs twice, strengths; of q, and of k on both its ways; of v; of states."""
    return tokens * (3 * chunk + 4 * s.key_dim + s.value_dim) + tokens // chunk * s.key_dim * s.value_dim
