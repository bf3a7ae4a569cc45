"""Two contestants in randomised, interleaved blocks over several processes: what disturbs one disturbs the other."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from time import monotonic, sleep
from typing import TypeVar

from vigbench.records.schema import Status
from vigbench.runner.fork_server import waiting_of
from vigbench.runner.process import Worker, WorkerEndedError
from vigbench.suites.case import Case
from vigbench.suites.duration import format_duration
from vigbench.worker.messages import BlockRequest, Durations, Errand, Job, Outcome, Ready

M = TypeVar("M", Ready, Durations)

WARM_UP_S = 4.0  # bounds a contestant's warm-up, by the protocol's share of it
MOST_CALLS = 1000  # in a block


@dataclass(frozen=True)
class Contestant:
    """One side of a duel.

    Attributes:
        case: what it runs.
        python: interpreter of another environment, whose vigbench runs it; None: this one.
    """

    case: Case
    python: str | None = None

    def label(self) -> str:
        """One short line for people."""
        return self.case.label() + (f" by {self.python}" if self.python else "")


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        processes: pairs of fresh processes; the spread between them is part of the interval.
        blocks: blocks of each contestant in a pair.
        block_s: seconds of a block, about; at least one call.
        timeout_s: seconds for preparing a contestant, and again for each block.
        seed: of the order of the blocks.
        over_s: seconds from the start of the first pair to that of the last; 0: one after the other.
    """

    processes: int = 6
    blocks: int = 30
    block_s: float = 0.05
    timeout_s: float = 300.0
    seed: int = 0
    over_s: float = 0.0

    def __post_init__(self) -> None:
        if self.processes < 1 or self.blocks < 1:
            raise ValueError("A duel needs at least one pair of processes, and one block of each side.")


@dataclass(frozen=True)
class Pair:
    """What one pair of processes measured: seconds of every call, by block; blocks of equal index ran side by side."""

    base: tuple[tuple[float, ...], ...]
    head: tuple[tuple[float, ...], ...]

    def log_ratios(self) -> list[float]:
        """log(head / base) of the blocks' median durations; the speed of the machine at that moment cancels."""
        return [math.log(median(head) / median(base)) for base, head in zip(self.base, self.head, strict=True)]


class ContestantFailedError(ValueError):
    """A contestant could not be timed; the text says which and why.

    Attributes:
        contestant: the one.
    """

    def __init__(self, contestant: Contestant, reason: str) -> None:
        super().__init__(f"{contestant.label()} cannot be timed: {reason}")
        self.contestant = contestant


def run_duel(base: Contestant, head: Contestant, effort: Effort) -> Iterator[Pair]:
    """Measure pair after pair; each is yielded as soon as it is there, so that a caller can keep it.

    Raises:
        ContestantFailedError: if a contestant fails, is wrong, or takes too long.
    """
    rng = random.Random(effort.seed)  # noqa: S311  nothing secret
    begin, every_s = monotonic(), effort.over_s / max(1, effort.processes - 1)
    for index in range(effort.processes):
        sleep(max(0.0, begin + index * every_s - monotonic()))
        yield _run_pair(base, head, effort, rng)


def _run_pair(base: Contestant, head: Contestant, effort: Effort, rng: random.Random) -> Pair:
    with ExitStack() as stack:
        # the order of starting is random too: the second process may get other memory and other cores
        order = rng.sample([0, 1], 2)
        forked = base.python is None and head.python is None  # both sides start alike
        waiting = waiting_of(base.case)  # one for both
        started = {index: stack.enter_context(_Side((base, head)[index], effort, forked, waiting)) for index in order}
        for _ in range(effort.blocks):
            for index in rng.sample([0, 1], 2):
                started[index].run_block()
        for side in started.values():
            side.prove_path()
        return Pair(tuple(started[0].blocks), tuple(started[1].blocks))


class _Side:
    """One contestant's worker and the blocks that it has run."""

    def __init__(self, contestant: Contestant, effort: Effort, forked: bool, waiting: Mapping[str, str]) -> None:
        self.contestant, self._effort = contestant, effort
        self.blocks: list[tuple[float, ...]] = []
        self._calls = 1
        job = Job(case=contestant.case, errand=Errand.contest, budget_s=WARM_UP_S)
        self._worker = Worker(job, contestant.python, forked=forked, waiting=waiting)

    def __enter__(self) -> _Side:
        try:
            ready = self._wait_for(Ready)
        except BaseException:
            self._worker.close()
            raise
        self._calls = min(MOST_CALLS, max(1, math.ceil(self._effort.block_s / max(ready.call_s, 1e-9))))
        return self

    def __exit__(self, *error: object) -> None:
        self._worker.close()

    def run_block(self) -> None:
        self.blocks.append(self._ask(self._calls))

    def prove_path(self) -> None:
        """Let the worker show, after all timing, that what ran is what its label says."""
        self._ask(0)

    def _ask(self, calls: int) -> tuple[float, ...]:
        try:
            self._worker.send(BlockRequest(calls=calls))
        except WorkerEndedError as end:
            raise self._failed("crashed", str(end)) from end
        return self._wait_for(Durations).seconds

    def _wait_for(self, kind: type[M]) -> M:
        limit = self._effort.timeout_s
        deadline = monotonic() + limit
        while True:
            try:
                message = self._worker.receive(deadline)
            except TimeoutError:
                raise self._failed(Status.timeout, f"no answer within {format_duration(limit)}.") from None
            except WorkerEndedError as end:
                raise self._failed(Status.crashed, str(end)) from end
            if isinstance(message, Outcome):
                raise self._failed(message.status, message.reason)
            if isinstance(message, kind):
                return message

    def _failed(self, status: str, reason: str) -> ContestantFailedError:
        return ContestantFailedError(self.contestant, f"{status}: {reason}")
