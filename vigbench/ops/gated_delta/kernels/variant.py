"""What a kernel is compiled for, and how each is launched."""

from typing import NamedTuple

import torch


class DeltaVariant(NamedTuple):
    """Sizes of one compiled kernel; whatever is called a block is a power of two.

    Attributes:
        key_dim, value_dim: channels of a head.
        all_keys: covers the key channels.
        key_block, key_blocks: channels handled at once where nothing needs all of them, and how many blocks there are.
        value_block, value_blocks: the same of values.
        chunk: tokens handled at once: 16, 32 or 64.
    """

    key_dim: int
    value_dim: int
    all_keys: int
    key_block: int
    key_blocks: int
    value_block: int
    value_blocks: int
    chunk: int


class DeltaSettings(NamedTuple):
    """How the kernels of a pass are launched.

    Attributes:
        chunk: tokens handled at once.
        key_block, value_block: key and value channels handled at once, at most.
        warps: of each program.
        stages: of loops that load ahead.
    """

    chunk: int
    key_block: int
    value_block: int
    warps: int
    stages: int


def settings_for(capability: str, dtype: torch.dtype, gradients: bool) -> DeltaSettings:
    """For a GPU, named as `capability_of` does.

    No tile has 64 rows: `ops/gla/kernels/settings.py` says what compilers do to those.
    """
    if dtype == torch.float32:  # products without tensor cores keep their operands in registers
        return DeltaSettings(chunk=16, key_block=16, value_block=16, warps=8, stages=1)
    if gradients and capability.startswith("gfx1"):  # waves of 32 lanes: larger chunks spill
        return DeltaSettings(chunk=16, key_block=16, value_block=16, warps=8, stages=1)
    block = 16 if gradients else 32  # larger ones spill
    return DeltaSettings(chunk=32, key_block=block, value_block=block, warps=4, stages=2)
