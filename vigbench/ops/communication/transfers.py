"""Exchanges of tensors that are started at once and waited for later."""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from vigbench.ops.communication.ranks import Ranks
from vigbench.ops.communication.traffic import count


def start_all_gather(x: Tensor, ranks: Ranks) -> Callable[[], list[Tensor]]:
    """Send x, of one shape on all ranks, to all of them; the result waits and gives every rank's, in their order."""
    x = x.contiguous()
    gathered = list(x.new_empty(ranks.size, *x.shape).unbind(0))
    work = dist.all_gather(gathered, x, ranks.group, async_op=True)
    count((ranks.size - 1) * x.nbytes, (ranks.size - 1) * x.nbytes)

    def wait() -> list[Tensor]:
        work.wait()
        return gathered

    return wait


def start_transfers(
    sends: Sequence[tuple[int, Tensor]], receives: Sequence[tuple[int, Tensor]], ranks: Ranks
) -> Callable[[], None]:
    """Send to some ranks and receive from some, in one batch; the result waits until what is received is there.

    Args:
        sends: (rank of the group, tensor); what is sent must not be overwritten before the wait.
        receives: (rank of the group, contiguous tensor to receive into).
    """
    if not sends and not receives:
        return lambda: None
    kept = [(rank, x.contiguous()) for rank, x in sends]
    batch = [dist.P2POp(dist.isend, x, ranks.everywhere(rank), ranks.group) for rank, x in kept]
    batch += [dist.P2POp(dist.irecv, x, ranks.everywhere(rank), ranks.group) for rank, x in receives]
    works = dist.batch_isend_irecv(batch)
    count(sum(x.nbytes for _, x in sends), sum(x.nbytes for _, x in receives))

    def wait() -> None:
        for work in works:
            work.wait()
        kept.clear()

    return wait


def to_each(pieces: Sequence[Tensor], ranks: Ranks) -> list[Tensor]:
    """Give every rank its piece; returns what all ranks have for this one, in the shape of its own piece, in order."""
    own = pieces[ranks.rank]
    sent = torch.cat([piece.reshape(-1) for piece in pieces])
    received = own.new_empty(ranks.size, *own.shape)
    sizes = [piece.numel() for piece in pieces]
    dist.all_to_all_single(received.view(-1), sent, [own.numel()] * ranks.size, sizes, ranks.group)
    count(sent.nbytes - own.nbytes, received.nbytes - own.nbytes)
    return list(received.unbind(0))
