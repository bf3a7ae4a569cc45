"""How the MLP's kernels are launched."""

from functools import lru_cache
from typing import NamedTuple

import torch

from vigbench.ops.capability import capability_of
from vigbench.ops.product_tiles import SMALLEST_BLOCK


class MlpSettings(NamedTuple):
    """Settings of one pass.

    Attributes:
        row_block, hidden_block: tokens, and channels of the hidden layer, handled at once; powers of two from 16.
        part_block: channels of the stream multiplied at once, a power of two from 16.
        warps, stages: of each kernel that multiplies.
    """

    row_block: int
    hidden_block: int
    part_block: int
    warps: int
    stages: int

    def part(self, dim: int) -> int:
        """`part_block`, no larger than a narrow stream needs."""
        return min(self.part_block, max(SMALLEST_BLOCK, 1 << (dim - 1).bit_length()))

    def parts(self, dim: int) -> int:
        """How many such blocks cover the stream."""
        return -(-dim // self.part(dim))


@lru_cache
def settings_for(device: torch.device, dtype: torch.dtype) -> MlpSettings:
    """The default ones of a device."""
    return default_settings(capability_of(device), dtype)


def default_settings(capability: str, dtype: torch.dtype) -> MlpSettings:
    """Those that compile without spills for a compute capability, as in "9.0" (docs/kernels-block.md)."""
    if dtype == torch.float32:  # only the interpreter: products without tensor cores are the library's
        return MlpSettings(16, 16, 64, 4, 1)
    if capability.startswith("9."):  # one warp group multiplies, see `vigbench.ops.gla.kernels.settings.forbidden`
        return MlpSettings(64, 32, 64, 4, 2)
    if capability.startswith("gfx"):
        return MlpSettings(32, 16, 64, 4, 1)
    return MlpSettings(32, 32, 64, 4, 2)
