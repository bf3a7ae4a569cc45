"""What a kernel is compiled for: everything but strides that changes its code."""

from typing import NamedTuple

import triton
import triton.language as tl


class GlaVariant(NamedTuple):
    """Sizes and switches of one compiled kernel.

    Attributes:
        key_dim, value_dim: channels of a head.
        key_block, key_blocks: channels handled at once, a power of two, and how many such blocks cover them.
        value_block, value_blocks: the same of values.
        chunk: tokens handled at once, a power of two.
        gate: what log-decays are computed from (`gates.py`).
        exponential: whether q and k are exponentials of what is given (`features.py`).
        rank, rank_block: width of the low-rank activations, and the power of two that covers it.
        forward, backward: the directions there are.
        turned: whether states lie in registers as (values, keys), see `state.py`.
        segmented: whether states are those of a segment, to be completed by the state that enters the segment.
        mild: a chunk whose log2-decays sum to less than minus this is computed exactly, any other with factored
            exponentials.
    """

    key_dim: int
    value_dim: int
    key_block: int
    key_blocks: int
    value_block: int
    value_blocks: int
    chunk: int
    gate: str
    exponential: bool
    rank: int
    rank_block: int
    forward: bool
    backward: bool
    turned: bool
    segmented: bool
    mild: float


@triton.jit
def key_block(block, variant: tl.constexpr):
    """The key channels of a block."""
    return block * variant.key_block + tl.arange(0, variant.key_block)


@triton.jit
def value_block(block, variant: tl.constexpr):
    """The value channels of a block."""
    return block * variant.value_block + tl.arange(0, variant.value_block)


@triton.jit
def segment_of(to_end: tl.constexpr, variant: tl.constexpr, phase: tl.constexpr):
    """The segment of a program that walks to the end, or to the start, in this phase; and how many there are."""
    phases: tl.constexpr = variant.forward + variant.backward
    half: tl.constexpr = phase if to_end else phases - 1 - phase
    return half * tl.num_programs(1) + tl.program_id(1), phases * tl.num_programs(1)


@triton.jit
def hands_over(variant: tl.constexpr, phase: tl.constexpr):
    """Whether the state that leaves a program's half is to enter another's."""
    return variant.forward and variant.backward and phase == 0 and not variant.segmented
