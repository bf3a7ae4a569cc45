"""Exchanges with gradients: each backward is the adjoint, for the sum of what all ranks differentiate."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from vigbench.ops.communication.ranks import Ranks
from vigbench.ops.communication.traffic import count
from vigbench.ops.communication.transfers import start_transfers


def sum_over_ranks(x: Tensor, ranks: Ranks) -> Tensor:
    """The sum of all ranks' x, on all of them (an all-reduce); so is the gradient."""
    if ranks.size == 1:
        return x
    total: Tensor = _SumOverRanks.apply(x, ranks)
    return total


def halo_rows(x: Tensor, above: int, below: int, ranks: Ranks) -> Tensor:
    """This rank's rows between the last ones of the rank before and the first ones of the rank after it.

    Point to point, one batch; gradients of the borrowed rows go back. Nothing is added at the first rank's top and the
    last rank's bottom.

    Args:
        x: (batch, rows, ...), of the same shape on all ranks but for its rows; no neighbour may have fewer rows than
            are borrowed from it (for the caller to see to: a rank alone cannot know).
        above, below: how many rows are borrowed from either side, the same on all ranks.

    Returns:
        (batch, borrowed + rows + borrowed, ...).
    """
    if ranks.size == 1:
        return x
    out: Tensor = _HaloRows.apply(x, above, below, ranks)
    return out


class _SumOverRanks(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return _all_reduced(x, ranks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _all_reduced(grad, ctx.ranks), None


class _HaloRows(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, above: int, below: int, ranks: Ranks) -> Tensor:
        ctx.above, ctx.below, ctx.ranks = above, below, ranks
        rows = x.shape[1]
        top, bottom = _borrowed(x, above, below, ranks)
        _swap(x[:, rows - above :], x[:, :below], top, bottom, ranks)
        return torch.cat([part for part in (top, x, bottom) if part is not None], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        above, below, ranks = ctx.above, ctx.below, ctx.ranks
        start, end = 0 if ranks.first else above, grad.shape[1] - (0 if ranks.last else below)
        own = grad[:, start:end].clone()
        first, last = _borrowed(own, below, above, ranks)  # what neighbours found for the rows they had borrowed
        _swap(grad[:, end:], grad[:, :start], first, last, ranks)
        if first is not None:
            own[:, :below] += first
        if last is not None:
            own[:, own.shape[1] - above :] += last
        return own, None, None, None


def _borrowed(x: Tensor, above: int, below: int, ranks: Ranks) -> tuple[Tensor | None, Tensor | None]:
    """Room for rows from the rank before and from the rank after, if there is one."""
    top = None if ranks.first else x.new_empty(x.shape[0], above, *x.shape[2:])
    bottom = None if ranks.last else x.new_empty(x.shape[0], below, *x.shape[2:])
    return top, bottom


def _swap(down: Tensor, up: Tensor, top: Tensor | None, bottom: Tensor | None, ranks: Ranks) -> None:
    """Send `down` to the rank after and `up` to the rank before, receive `top` and `bottom` from them."""
    before, after = ranks.rank - 1, ranks.rank + 1
    sends = [(rank, x) for rank, x, there in ((before, up, top), (after, down, bottom)) if there is not None]
    receives = [(rank, x) for rank, x in ((before, top), (after, bottom)) if x is not None]
    filled = [one for one in sends if one[1].numel()], [one for one in receives if one[1].numel()]
    start_transfers(*filled, ranks)()


def _all_reduced(x: Tensor, ranks: Ranks) -> Tensor:
    total = x.contiguous().clone()
    dist.all_reduce(total, group=ranks.group)
    moved = 2 * (ranks.size - 1) * x.nbytes // ranks.size
    count(moved, moved)
    return total
