"""Keys and values of all ranks, as blocks that arrive while others are attended to, and the way back of gradients.

A block is one tensor (batch, heads, length, key_dim + value_dim).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.communication import Ranks, start_all_gather, start_transfers, to_each


class KeyExchange(Protocol):
    """One pass over all ranks' blocks; a gradient is given back for each before the next one is asked for."""

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """(rank, its block), this rank's first."""

    def give_back(self, rank: int, grad: Tensor) -> None:
        """What this rank found for the block of `rank`."""

    def own_gradient(self) -> Tensor:
        """What all ranks found for this rank's block."""


class GatheredKeys:
    """One all-gather, of blocks as long as the longest; gradients go to their ranks all at once."""

    def __init__(self, block: Tensor, lengths: Sequence[int], ranks: Ranks) -> None:
        self.block, self.lengths, self.ranks = block, lengths, ranks
        self.grads: dict[int, Tensor] = {}

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        rank = self.ranks.rank
        wait = start_all_gather(F.pad(self.block, (0, 0, 0, max(self.lengths) - self.lengths[rank])), self.ranks)
        yield rank, self.block
        for other, block in enumerate(wait()):
            if other != rank:
                yield other, block[:, :, : self.lengths[other]]

    def give_back(self, rank: int, grad: Tensor) -> None:
        self.grads[rank] = grad

    def own_gradient(self) -> Tensor:
        return torch.stack(to_each([self.grads.pop(rank) for rank in range(self.ranks.size)], self.ranks)).sum(0)


class RingKeys:
    """Ring attention (arXiv 2310.01889): blocks go from rank to rank, and their gradients after them, home at the end.

    The next block is on its way while one is attended to. A block's own rank keeps its gradient back, so that gradients
    make no more hops than blocks do.
    """

    def __init__(self, block: Tensor, lengths: Sequence[int], ranks: Ranks) -> None:
        self.block, self.lengths, self.ranks = block, lengths, ranks
        self.own: Tensor | None = None
        self.arriving: Callable[[], Tensor] | None = None

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        block, owner = self.block.contiguous(), self.ranks.rank
        for _ in range(self.ranks.size - 1):
            arriving = self._pass_on(block, owner)
            yield owner, block
            block, owner = arriving(), self._before(owner)
        yield owner, block

    def give_back(self, rank: int, grad: Tensor) -> None:
        if rank == self.ranks.rank:
            self.own = grad
            return
        self.arriving = self._pass_on(grad if self.arriving is None else grad.add_(self.arriving()), rank)

    def own_gradient(self) -> Tensor:
        assert self.own is not None
        return self.own if self.arriving is None else self.own.add_(self.arriving())

    def _pass_on(self, x: Tensor, owner: int) -> Callable[[], Tensor]:
        """Send on what belongs to `owner`; the result waits for what belongs to the rank before that one."""
        batch, heads, _, dim = x.shape
        arriving = x.new_empty(batch, heads, self.lengths[self._before(owner)], dim)
        after, before = (self.ranks.rank + 1) % self.ranks.size, self._before(self.ranks.rank)
        wait = start_transfers([(after, x)], [(before, arriving)], self.ranks)

        def arrived() -> Tensor:
            wait()
            return arriving

        return arrived

    def _before(self, rank: int) -> int:
        return (rank - 1) % self.ranks.size
