"""How a sequence is cut over ranks: consecutive parts, rank 0 has the first."""

from collections.abc import Sequence

from torch import Tensor
from torch.distributed import ProcessGroup

from vigbench.ops.communication.ranks import ranks_of


def even_parts(length: int, ranks: int) -> list[int]:
    """The length of each rank's part, as equal as they can be, longer ones first.

    ValueError where there is less than one for each rank.
    """
    if not 1 <= ranks <= length:
        raise ValueError(f"{length} cannot be cut for {ranks} ranks: each needs at least one, so use 1 to {length}")
    return [length // ranks + (rank < length % ranks) for rank in range(ranks)]


def bounds_of(parts: Sequence[int], length: int, rank: int, ranks: int) -> tuple[int, int]:
    """First and last (exclusive) of a rank's part.

    ValueError, the same on every rank, where `parts` are not one of at least 1 for each rank, or do not add up.
    """
    if len(parts) != ranks:
        raise ValueError(f"{len(parts)} parts {tuple(parts)} for a group of {ranks} ranks: give one part for each")
    if min(parts) < 1 or sum(parts) != length:
        raise ValueError(f"parts {tuple(parts)} have to be at least 1 each and add up to {length}")
    start = sum(parts[:rank])
    return start, start + parts[rank]


def part_of(x: Tensor, parts: Sequence[int] | None = None, group: ProcessGroup | None = None, dim: int = 1) -> Tensor:
    """This rank's part of a whole sequence that every rank has, cut along `dim`.

    Args:
        x: the whole; (batch, length, heads, dim) for the operators.
        parts: the length of each rank's part, by default `even_parts`.
        group: by default all processes.

    Raises:
        ValueError: on every rank, where the parts do not fit the group or the length.
    """
    ranks = ranks_of(group)
    length = x.shape[dim]
    start, end = bounds_of(even_parts(length, ranks.size) if parts is None else parts, length, ranks.rank, ranks.size)
    return x.narrow(dim, start, end - start)
