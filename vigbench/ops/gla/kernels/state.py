"""A state in registers: (keys, values), or, where `variant.turned`, (values, keys). In memory it is (keys, values).

Products then give it as it lies, and take it so. Turned, what chunks of 64 tokens write is multiplied by warp groups.
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.tiles import dot
from vigbench.ops.kernel_math import zeros


@triton.jit
def by_key(x, turned: tl.constexpr):
    """A row of key channels, to be spread over a state."""
    return x[None, :] if turned else x[:, None]


@triton.jit
def by_value(x, turned: tl.constexpr):
    """A row of value channels, to be spread over a state."""
    return x[:, None] if turned else x[None, :]


@triton.jit
def empty_state(variant: tl.constexpr):
    """A state of nothing."""
    rows: tl.constexpr = variant.value_block if variant.turned else variant.key_block
    columns: tl.constexpr = variant.key_block if variant.turned else variant.value_block
    return zeros(rows, columns)


@triton.jit
def at_state(data, number, keys, values, variant: tl.constexpr, turned: tl.constexpr):
    """Pointers to, and mask of, a tile of a state."""
    first = data + number.to(tl.int64) * (variant.key_dim * variant.value_dim)
    return (
        first + by_key(keys, turned) * variant.value_dim + by_value(values, turned),
        by_key(keys < variant.key_dim, turned) & by_value(values < variant.value_dim, turned),
    )


@triton.jit
def load_state(data, number, keys, values, variant: tl.constexpr):
    """A tile of a state in float32."""
    pointers, mask = at_state(data, number, keys, values, variant, variant.turned)
    return tl.load(pointers, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store_state(data, number, keys, values, state, variant: tl.constexpr):
    """Write a tile of a state where `load_state` would read."""
    pointers, mask = at_state(data, number, keys, values, variant, variant.turned)
    tl.store(pointers, state.to(data.dtype.element_ty), mask=mask)


@triton.jit
def outer(k_tile, v_tile, dtype: tl.constexpr, variant: tl.constexpr):
    """What a chunk's tokens write to a state: the sum of k_t v_t^T."""
    return dot(tl.trans(v_tile), k_tile, dtype) if variant.turned else dot(tl.trans(k_tile), v_tile, dtype)


@triton.jit
def read(q_tile, state, dtype: tl.constexpr, variant: tl.constexpr):
    """What a chunk's tokens read from a state: q_t S."""
    return dot(q_tile, tl.trans(state.to(dtype)) if variant.turned else state, dtype)
