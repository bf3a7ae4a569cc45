"""A process group as its members see it."""

from dataclasses import dataclass

import torch.distributed as dist
from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Ranks:
    """A group of processes, and the place of this one in it; ranks count within the group."""

    group: ProcessGroup
    rank: int
    size: int

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def last(self) -> bool:
        return self.rank == self.size - 1

    def everywhere(self, rank: int) -> int:
        """The number that a rank of the group has among all processes."""
        return dist.get_global_rank(self.group, rank)


def ranks_of(group: ProcessGroup | None = None) -> Ranks:
    """The group, by default all processes.

    Raises:
        ValueError: torch.distributed is not initialised, or this process is not in the group.
    """
    if not dist.is_available() or not dist.is_initialized():
        raise ValueError(
            "torch.distributed is not initialised: call torch.distributed.init_process_group first, in every process "
            "(torchrun starts them)"
        )
    group = dist.group.WORLD if group is None else group
    if not isinstance(group, ProcessGroup):  # what new_group gives to those outside
        raise ValueError("this process is not in the group: call this on the group's own ranks only")
    return Ranks(group, dist.get_rank(group), dist.get_world_size(group))
