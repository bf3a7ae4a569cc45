"""The ranks of a case among themselves: how they meet, and how they move in step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

import psutil
import torch
import torch.distributed as dist
from torch import Tensor

from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.sharding import Place
from vigbench.suites.axes import Exchange
from vigbench.suites.case import Case

WAITING = timedelta(days=1)  # in a collective call: the case's own limit ends it before
T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """All ranks, as one of them sees them.

    Attributes:
        place: this rank's, with the group in which the subject exchanges what it needs.
        device: where it computes.
        control: a group on the CPU for what measuring has to agree on: none of it is timed or counted.
    """

    place: Place
    device: torch.device
    control: dist.ProcessGroup

    @property
    def leads(self) -> bool:
        """Whether this rank decides and reports."""
        return self.place.rank == 0

    def gathered(self, mine: T) -> list[T]:
        """What each rank has, in order of rank."""
        found: list[T] = [mine] * self.place.ranks
        dist.all_gather_object(found, mine, group=self.control)
        return found

    def first_decides(self, decide: Callable[[Callable[[], float]], T], timed_call: Callable[[], float]) -> T | None:
        """Let rank 0 decide how often all ranks make a call; the others make it as often.

        Args:
            decide: is given a function that lets all ranks make the call, each behind one barrier, and returns the
                seconds of the slowest.
            timed_call: makes the call on this rank and returns its seconds.

        Returns:
            What `decide` returns; None on the other ranks.
        """
        if self.leads:
            result = decide(lambda: self._together(timed_call))
            self._told(go_on=False)
            return result
        while self._told():
            self._in_step(timed_call)
        return None

    def _together(self, timed_call: Callable[[], float]) -> float:
        self._told(go_on=True)
        return self._in_step(timed_call)

    def _in_step(self, timed_call: Callable[[], float]) -> float:
        dist.barrier(group=self.control)
        seconds = torch.tensor(timed_call(), dtype=torch.float64)
        dist.all_reduce(seconds, dist.ReduceOp.MAX, group=self.control)
        return float(seconds)

    def _told(self, go_on: bool = False) -> bool:
        """What rank 0 says."""
        said: Tensor = torch.tensor(int(go_on))
        dist.broadcast(said, src=0, group=self.control)
        return bool(said)


@contextmanager
def meeting(case: Case, rank: int, folder: Path) -> Iterator[Team]:
    """The team of a case; its ranks find each other by a file in a private folder, and talk over loopback.

    Raises:
        UnsupportedError: if there are fewer GPUs than ranks, which were not allowed to share one, or cannot.
    """
    shares = takes_gpu(case, rank)
    if name := _loopback():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
    backend = "nccl" if case.device == "cuda" and not shares else "gloo"  # NCCL takes one rank a GPU
    dist.init_process_group(backend, f"file://{folder}/meeting", WAITING, rank=rank, world_size=case.ranks)
    whole = dist.group.WORLD
    assert whole is not None, "the group has just been made"
    control = whole
    if backend != "gloo":
        control = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=WAITING))  # of which all are members
    assert case.exchange is not None, "several ranks have an exchange"
    yield Team(Place(rank, case.ranks, whole, case.exchange.value), torch.device(case.device.value), control)
    dist.barrier(group=control)  # who leaves early breaks what the others still say
    dist.destroy_process_group()


def takes_gpu(case: Case, rank: int) -> bool:
    """Choose this rank's GPU, where it needs one; returns whether it has to share it."""
    if case.device != "cuda":
        return False
    if not (gpus := torch.cuda.device_count()):
        raise UnsupportedError("No CUDA device is visible to torch; run `vigbench doctor`, or choose --device cpu.")
    if gpus < case.ranks and not case.share_gpu:
        raise UnsupportedError(
            f"{case.ranks} ranks take a GPU each, and torch sees {gpus}: choose fewer, or let them share with "
            "--share-gpu true, which shows whether the result is right and what is sent, and no speed."
        )
    shares = gpus < case.ranks
    if shares and (case.exchange is Exchange.ring or case.resolution is not None):
        raise UnsupportedError(
            "Ranks that share a GPU talk by gloo, which sends none of its memory from one rank to another: choose an "
            "operator with --exchange all_gather, or no more ranks than GPUs."
        )
    torch.cuda.set_device(rank % gpus)
    return shares


def _loopback() -> str | None:
    """The name of the network interface that leads back to this machine."""
    addresses = psutil.net_if_addrs().items()
    return next((name for name, known in addresses if any(one.address == "127.0.0.1" for one in known)), None)
