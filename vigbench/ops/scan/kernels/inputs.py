"""Tensors as the scan's kernels take them, and what kernels are compiled for."""

from typing import NamedTuple

from torch import Tensor

from vigbench.ops.kernel_launch import in_place


class ScanView(NamedTuple):
    """A (directions, batch, length, channels) tensor and its strides in elements; that of channels is 1."""

    data: Tensor
    direction: int
    batch: int
    token: int


class Inputs(NamedTuple):
    """What a scan reads; D, z and delta_bias are any tensor where there is none (`ScanVariant` says so)."""

    u: ScanView
    delta: ScanView
    A: Tensor  # (directions, dim, state), contiguous, as are the next two
    B: ScanView
    C: ScanView
    D: Tensor  # (directions, dim)
    z: ScanView
    bias: Tensor


class ScanVariant(NamedTuple):
    """What a kernel is compiled for: sizes and switches.

    Attributes:
        dim, state: channels, and states of each.
        blocks, dim_block: a program takes `blocks` times `dim_block` channels, one block after the other.
        state_block: the power of two that covers the states.
        chunk: tokens handled at once, a power of two.
        softplus, has_skip, has_z, has_bias: of the operator.
        forward, backward: the directions there are.
        segmented: of `Cut`.
    """

    dim: int
    state: int
    blocks: int
    dim_block: int
    state_block: int
    chunk: int
    softplus: bool
    has_skip: bool
    has_z: bool
    has_bias: bool
    forward: bool
    backward: bool
    segmented: bool


def view(x: Tensor) -> ScanView:
    """`x`, (directions, batch, length, channels), as kernels take it, see `kernel_launch.in_place`."""
    x, strides = in_place(x)
    return ScanView(x, *strides)
