"""The profile of one case: made in a worker, kept in a folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vigbench.records.files import new_folder, starting_in
from vigbench.records.profile import ProfileRecord
from vigbench.records.schema import Status
from vigbench.runner.process import run_in_worker
from vigbench.suites.axes import Phase
from vigbench.suites.case import Case
from vigbench.worker.messages import Errand, Job

MOST_S = 1800.0


@dataclass(frozen=True)
class SubjectProfile:
    """Where the time and the memory of a subject go.

    Attributes:
        folder: where the tables and the trace are.
        record: what they hold; `record.info["words"]` are the largest costs in sentences.
    """

    folder: Path
    record: ProfileRecord


def profile_subject(
    case: Case,
    *,
    iterations: int = 5,
    out: str | Path = "results",
    command_line: Sequence[str] = (),
    on_stage: Callable[[str], None] = lambda _: None,
) -> SubjectProfile:
    """Profile a case in a fresh process and write its folder, but for the pictures (`vigbench.plot_profile`).

    Args:
        case: inference or training, neither compiled nor a graph: those hide the modules. See `vigbench.create_case`.
        iterations: profiled ones, at least 1.
        out: gets the folder `profile-<subject>-<size>-<device>-<time>`.
        command_line: for the record, what was typed.
        on_stage: told what happens now, in a word.

    Raises:
        ValueError: if it cannot be profiled or written, with the reason; nothing is left then.
    """
    out = Path(out)
    if case.compile or case.cuda_graph or case.phase not in (Phase.inference, Phase.training):
        raise ValueError(
            "A profile is of phase inference or training, neither compiled nor a graph, which hide the modules."
        )
    started = datetime.now(UTC)
    with _new_folder(case, out, started) as folder:
        asked = {
            "folder": str(folder.resolve()),
            "iterations": iterations,
            "command_line": list(command_line),
            "started_at": started.isoformat(timespec="seconds"),
        }
        job = Job(case=case, errand=Errand.profile, argument=json.dumps(asked))
        outcome = run_in_worker(job, timeout_s=MOST_S, on_stage=on_stage)
        if outcome.status is not Status.ok:
            raise ValueError(f"{case.label()} cannot be profiled: {outcome.reason}")
        record = ProfileRecord.read(folder)
    return SubjectProfile(folder, record)


@contextmanager
def _new_folder(case: Case, out: Path, now: datetime) -> Iterator[Path]:
    """A new folder, gone again if what happens inside fails."""
    subject = re.sub(r"[^A-Za-z0-9_.-]+", "-", case.subject).strip("-.") or "subject"
    with starting_in(out):
        folder = new_folder(
            out, f"profile-{subject[:80]}-{case.resolution or case.length}-{case.device}-{now:%Y%m%d-%H%M%S}"
        )
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
