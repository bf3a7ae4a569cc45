"""What this rank sends and receives, counted where it is handed to torch.distributed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class CountedTraffic:
    """Payload of this rank's exchanges.

    A point-to-point message counts as what it is. Of a collective one cannot see inside, so it counts as its
    bandwidth-optimal ring makes this rank send and receive: W - 1 blocks for an all-gather, what goes to the others for
    an all-to-all, 2 (W - 1) / W of the tensor for an all-reduce. `check_bytes` is what descriptions of the inputs take
    (see `agree`); it is sent besides, and counted nowhere else.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
    calls: int = 0
    check_bytes: int = 0


_open: list[CountedTraffic] = []  # not by context: on a GPU autograd runs the backward in a thread of its own


@contextmanager
def record_traffic() -> Iterator[CountedTraffic]:
    """Count what this rank exchanges inside the block, in forward and backward; blocks may be nested."""
    traffic = CountedTraffic()
    _open.append(traffic)
    try:
        yield traffic
    finally:
        _open.remove(traffic)


def count(sent: int, received: int) -> None:
    """One call that sends and receives so many bytes."""
    for traffic in _open:
        traffic.sent_bytes += sent
        traffic.received_bytes += received
        traffic.calls += 1


def count_check(sent: int) -> None:
    """One description of that many bytes."""
    for traffic in _open:
        traffic.check_bytes += sent
