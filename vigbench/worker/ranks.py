"""A case over several ranks, as its worker sees it: it starts them, and says how they ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import NamedTuple

import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessException, start_processes

from vigbench.ops.registry import UnsupportedError
from vigbench.records.schema import Status
from vigbench.subjects.factory import in_one_line
from vigbench.suites.case import Case
from vigbench.worker.failures import guarded
from vigbench.worker.limits import cap_memory, die_with
from vigbench.worker.messages import Job, Outcome
from vigbench.worker.rank_case import measure_rank
from vigbench.worker.rank_columns import outcome_of
from vigbench.worker.rank_group import meeting
from vigbench.worker.references import References, write_whole

START = "fork"  # from a process that has torch imported, and neither threads nor a CUDA context: in milliseconds
GRACE_S = 0.2  # for ranks to end by themselves once one has failed
CAUSE_FIRST_S = 5.0  # what a rank waits that lost another one, so that the other's end is seen first
_BROKEN = ("gloo/transport", "connection closed", "connection reset", "broken pipe")
OnStage = Callable[[str], None]


class Ended(NamedTuple):
    """How a rank ended: what it said, if it came so far, and its exit code; that of a signal is below 0."""

    rank: int
    said: Outcome | None
    code: int | None


def measure_ranks(job: Job, on_stage: OnStage) -> Outcome:
    """Measure a case by ranks, each a process of its own; if one fails, all are ended, and its end is the outcome.

    Args:
        job: the case and how long to sample it.
        on_stage: told what happens now.
    """
    case = job.case

    def measure() -> Outcome:
        if not dist.is_available() or START not in multiprocessing.get_all_start_methods():
            raise UnsupportedError(
                "This torch, or this system, starts no ranks: measure on Linux, or leave --ranks out."
            )
        with TemporaryDirectory(prefix="ranks-", dir=job.references, ignore_cleanup_errors=True) as folder:
            arguments = (job, Path(folder), os.getpid(), on_stage)
            ranks = start_processes(  # type: ignore[no-untyped-call, unused-ignore]
                _rank, arguments, case.ranks, join=False, start_method=START
            )
            first = None
            try:
                while not ranks.join(grace_period=GRACE_S):
                    pass
            except ProcessException as end:
                first = end.error_index
            codes = [process.exitcode for process in ranks.processes]
            ended = [Ended(rank, _said(Path(folder), rank), code) for rank, code in enumerate(codes)]
        return outcome_of_ranks(case, ended, first)

    return guarded(case, measure)


def _rank(rank: int, job: Job, folder: Path, worker: int, on_stage: OnStage) -> None:
    """Entry point of a rank: one part of a case, then the process ends, with its outcome in a file."""
    die_with(worker)
    case = job.case
    if case.device == "cpu":
        cap_memory(job.memory_limit_mib, case.ranks)
    tell = on_stage if rank == 0 else _nobody
    references = References(None if job.references is None else Path(job.references))

    def measure() -> Outcome:
        with meeting(case, rank, folder) as team:
            found = measure_rank(case, job.budget_s, tell, references, team)
            return Outcome(status=Status.ok) if found is None else outcome_of(found)

    def measure_unless_left() -> Outcome:
        try:
            return measure()
        except Exception as error:
            if not is_broken_exchange(error):
                raise
            sleep(CAUSE_FIRST_S)
            return Outcome(status=Status.crashed, reason=f"It lost the others: {in_one_line(error)}")

    outcome = guarded(case, measure_unless_left)
    write_whole(_file(folder, rank), outcome.model_dump_json().encode())
    os._exit(0 if outcome.status is Status.ok else 1)  # a group that lost a member would wait for it


def is_broken_exchange(error: Exception) -> bool:
    """Whether an exchange failed, as it does when another rank is gone, and not this rank's own work."""
    said = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(words in said for words in _BROKEN)
    )


def _nobody(stage: str) -> None:
    """Rank 0 speaks for all."""


def _file(folder: Path, rank: int) -> Path:
    return folder / f"outcome-{rank}.json"


def _said(folder: Path, rank: int) -> Outcome | None:
    file = _file(folder, rank)
    return Outcome.model_validate_json(file.read_bytes()) if file.exists() else None


def outcome_of_ranks(case: Case, ended: Sequence[Ended], first: int | None) -> Outcome:
    """Rank 0's, if all went well; else that of the rank which is to blame.

    Args:
        case: what was measured.
        ended: how each rank ended, in order.
        first: the rank that failed first; None if none did.
    """
    one = min(ended, key=lambda one: (_innocence(one, first), one.rank != first))
    if one.said is None:
        return _death(case, one)
    if one.said.status in (Status.ok, Status.unsupported):  # it holds for every rank
        return one.said
    return one.said.model_copy(update={"reason": f"Rank {one.rank} of {case.ranks}: {one.said.reason}"})


def _innocence(one: Ended, first: int | None) -> int:
    """How little a rank is to blame: less who was ended here, or lost another one, than who failed or died."""
    if one.said is None:
        return 0 if one.rank == first else 4 if one.code == -signal.SIGTERM else 2
    return {Status.ok: 5, Status.crashed: 3}.get(one.said.status, 1)


def _death(case: Case, one: Ended) -> Outcome:
    who = f"Rank {one.rank} of {case.ranks}"
    if one.code is None or one.code >= 0:
        return Outcome(status=Status.crashed, reason=f"{who} ended with exit code {one.code} before it had a result.")
    name = signal.Signals(-one.code).name
    cause = " Often that is the kernel's out-of-memory killer: use a smaller batch or size." * (name == "SIGKILL")
    return Outcome(status=Status.crashed, reason=f"{who} was killed by {name}.{cause}")
