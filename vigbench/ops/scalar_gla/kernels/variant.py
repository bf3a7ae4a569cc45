"""What a kernel is compiled for: everything but strides that changes its code."""

from typing import NamedTuple


class ScalarVariant(NamedTuple):
    """Sizes and switches of one compiled kernel.

    Attributes:
        key_dim, value_dim: channels of a head.
        key_block, key_blocks: channels handled at once, a power of two, and how many such blocks cover them.
        value_block, value_blocks: the same of values.
        chunk: tokens handled at once, a power of two.
        heads: of values; `group`: how many of them share queries and keys.
        forward, backward: the directions there are.
    """

    key_dim: int
    value_dim: int
    key_block: int
    key_blocks: int
    value_block: int
    value_blocks: int
    chunk: int
    heads: int
    group: int
    forward: bool
    backward: bool
