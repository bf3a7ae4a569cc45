"""How the kernels of scalar-decay linear attention are launched; nothing is tried out while a case is measured."""

from typing import NamedTuple

import torch

from vigbench.ops.gla.kernels.settings import WARP_GROUP, WARP_GROUP_ROWS, Pass


class ScalarSettings(NamedTuple):
    """Settings of one pass.

    Attributes:
        chunk: tokens handled at once, a power of two from 16.
        key_block, value_block: key and value channels handled at once, powers of two from 16.
        states_warps, states_stages: of the kernel that computes states.
        warps, stages: of those that compute outputs and gradients.
    """

    chunk: int
    key_block: int
    value_block: int
    states_warps: int
    states_stages: int
    warps: int
    stages: int


def default_settings(capability: str, dtype: torch.dtype, pass_: Pass) -> ScalarSettings:
    """Settings for any shape; on capability 8.0, 9.0 and 10.0 they compile without spills.

    Tiles of 64 rows are for Hopper's forward pass alone: compilers get others wrong (`gla/kernels/settings.py`).
    """
    if dtype == torch.float32:  # products without tensor cores keep their operands in registers
        return ScalarSettings(16, 16, 16 if capability.startswith("gfx") else 32, 8, 1, 8, 1)
    if pass_ == "backward":
        return ScalarSettings(32, 32, 32, 4, 2, 4, 1)
    if capability.startswith("9."):
        return ScalarSettings(WARP_GROUP_ROWS, 64, 64, WARP_GROUP, 2, WARP_GROUP, 2)
    return ScalarSettings(32, 32, 64, 4, 2, 4, 2)
