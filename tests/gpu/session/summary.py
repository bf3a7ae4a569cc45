"""What a GPU session leaves: one folder whose summary is readable whenever the session is cut off."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.gpu.session.page import MACHINE, Row, Status, as_markdown
from vigbench.records.files import write_atomically
from vigbench.records.schema import FAULTS
from vigbench.records.schema import Status as CaseStatus
from vigbench.records.store import RunStore

LAST_LINES = 5


class Summary:
    """The folder of a session: `summary.json` and `summary.md`, written anew at every change, beside what steps leave.

    A folder that has a summary is continued: the rows of steps that are not run again stay.

    Args:
        folder: made if there is none.
        machine: `MACHINE` -> text, and whatever else describes it.

    Raises:
        ValueError: if the folder has the summary of another machine, commit or version.
    """

    def __init__(self, folder: Path, machine: Mapping[str, Any]) -> None:
        self.folder = folder
        self.machine = machine
        self.rows: dict[str, Row] = {}
        if differing := difference(folder, machine):
            raise ValueError(f"{folder} has results of another {differing}. Choose another folder with --out.")
        if (file := folder / "summary.json").is_file():
            rows = json.loads(file.read_text("utf-8"))["steps"]
            self.rows = {name: Row(**{**row, "status": Status(row["status"])}) for name, row in rows.items()}
        for name in ("logs", "failures", "runs"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def log(self, step: str) -> Path:
        """What a step printed, as it came."""
        return self.folder / "logs" / f"{step}.log"

    def failures_file(self, step: str) -> Path:
        """The failures of a step, one JSON object a line, as they happened."""
        return self.folder / "failures" / f"{step}.jsonl"

    def runs(self) -> set[Path]:
        """The runs of suites there are."""
        return set((self.folder / "runs").iterdir())

    def begin_anew(self, step: str) -> None:
        """Forget what an earlier session in this folder said of a step."""
        self.failures_file(step).unlink(missing_ok=True)
        self.set(step, Row(Status.waiting))

    def set(self, step: str, row: Row) -> None:
        """Keep a step's row, on the disk when this returns."""
        self.rows[step] = row
        steps = {name: asdict(one) for name, one in self.rows.items()}
        failures = {name: found for name in self.rows if (found := self.failures(name))}
        whole = {"machine": self.machine, "steps": steps, "failures": failures}
        write_atomically(self.folder / "summary.json", json.dumps(whole, indent=2) + "\n")
        write_atomically(self.folder / "summary.md", as_markdown(self.machine, self.rows, failures))

    def failures(self, step: str) -> list[dict[str, Any]]:
        """What has failed in a step so far; a line that was cut off is left out."""
        found = []
        if (file := self.failures_file(step)).is_file():
            for line in file.read_text("utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    found.append(json.loads(line))
        return found


def difference(folder: Path, machine: Mapping[str, Any]) -> str | None:
    """The first of `MACHINE` in which the session in `folder`, if there is one, differs from `machine`.

    Raises:
        ValueError: if its summary cannot be read.
    """
    file = folder / "summary.json"
    if not file.is_file():
        return None
    try:
        former = json.loads(file.read_text("utf-8"))["machine"]
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{file} is damaged: {error}. Choose another folder with --out.") from error
    return next((name for name in MACHINE if former.get(name) != machine.get(name)), None)


def faults_of_run(run: Path) -> list[str]:
    """The cases of a suite's run that ended in a fault, as lines of a failures file."""
    with contextlib.suppress(ValueError, OSError):  # a run that was killed before it had begun
        records = RunStore.open(run).records()
        return [
            failure_line(one.case.label(), f"{one.status}: {one.reason}") for one in records if one.status in FAULTS
        ]
    return []


def faults_of_check(file: Path) -> list[str]:
    """What `vigbench check --format json` found wrong, as lines of a failures file; none where it was cut off."""
    with contextlib.suppress(json.JSONDecodeError):
        rows = json.loads(file.read_text("utf-8"))["rows"]
        return [
            failure_line(
                "/".join(row[key] for key in ("operator", "implementation", "precision")),
                f"{row['status']}: {row['reason'] or row['where']}",
                row=row,
            )
            for row in rows
            if row["status"] not in (CaseStatus.ok, CaseStatus.unsupported)
        ]
    return []


def failure_line(id_: str, error: str, **more: Any) -> str:
    """A failure as one line of JSON; where packages are installed on this machine is left out."""
    texts = {"id": id_, "error": error, **more}
    return json.dumps({key: _without_places(x) if isinstance(x, str) else x for key, x in texts.items()})


def _without_places(text: str) -> str:
    return re.sub(r"[^\s\"'(]*/site-packages/", "site-packages/", text)


def last_words(log: Path) -> list[str]:
    """The last lines of a log that are not empty."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").splitlines()
    return [_without_places(line.rstrip()) for line in lines if line.strip()][-LAST_LINES:]
