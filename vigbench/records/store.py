"""A run's folder: `run.json`, `journal.jsonl`, `records.csv`, `samples/<case_id>.csv` and `operators/<case_id>.csv`."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vigbench.records import rescue
from vigbench.records.files import (
    StorageError,
    advising,
    append_line,
    append_text,
    new_folder,
    sync_folder,
    write_atomically,
)
from vigbench.records.journal import drop_torn_line, read_journal
from vigbench.records.lock import lock
from vigbench.records.run_info import read_info
from vigbench.records.schema import Record, columns
from vigbench.records.tables import Calls, Samples, calls_csv, csv_text, read_calls, read_samples, samples_csv


class RunStore:
    """One run on the disk.

    The journal is the truth: one line, appended and fsynced, for each finished case. `records.csv` follows it: one row
    for each case. A case counts as finished once its line is in the journal, and its raw samples are on the disk
    before that.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self.info_file = folder / "run.json"
        self.csv_file = folder / "records.csv"
        self._known: set[str] | None = None  # the cases of the journal; None where that has to be read first
        self._journal_bytes = 0  # the journal's size when `_known` was right

    @classmethod
    def create(cls, folder: Path, info: Mapping[str, Any]) -> RunStore:
        """Start a run in a new folder. To `info` comes a random `id`, by which a rescued record finds its run.

        Raises:
            ValueError: if the folder exists.
            OSError: if it cannot be made.
        """
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise ValueError(
                f"{folder} exists already; continue it with --resume {folder}, or choose another --out."
            ) from None
        return cls._fill(folder, info)

    @classmethod
    def create_unique(cls, parent: Path, name: str, info: Mapping[str, Any]) -> RunStore:
        """Start a run in a new folder of `parent`: `name`, or where that is taken `name-2`, `name-3` and so on.

        The folder's name stands in `run.json` as `run`. Raises OSError if the folder cannot be made.
        """
        folder = new_folder(parent, name)
        return cls._fill(folder, {**info, "run": folder.name})

    @classmethod
    def _fill(cls, folder: Path, info: Mapping[str, Any]) -> RunStore:
        (folder / "samples").mkdir()
        sync_folder(folder.parent)
        store = cls(folder)
        store._write_info({"id": uuid.uuid4().hex, **info})
        store.journal.touch()
        store._make_ready()
        return store

    @classmethod
    def open(cls, folder: Path) -> RunStore:
        """Open an existing run.

        Raises:
            ValueError: if the folder is not a run's.
        """
        store = cls(folder)
        if not store.info_file.is_file():
            raise ValueError(
                f"{folder} is not a run: it has no run.json. Runs are folders such as results/<suite>-<device>-<time>."
            )
        store.info()
        if not store.journal.is_file():
            raise ValueError(
                f"{folder} has no journal.jsonl, which holds its records: put that back, or measure again."
            )
        return store

    def lock(self) -> contextlib.AbstractContextManager[str]:
        """Hold this run for writing: `with store.lock() as problem:`; a killed process lets go.

        `problem` is empty, or says why this system cannot lock; then two writers go unnoticed.

        Raises:
            ValueError: if another process holds it; the message names that process.
        """
        return lock(self.folder / "run.lock")

    def info(self) -> dict[str, Any]:
        """The content of `run.json`.

        Raises:
            ValueError: if it is damaged.
        """
        return read_info(self.info_file)

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace `run.json`; raises StorageError if that fails."""
        with advising(self.folder, "The records are safe in journal.jsonl."):
            self._write_info(info)

    def _write_info(self, info: Mapping[str, Any]) -> None:
        write_atomically(self.info_file, json.dumps(info, indent=2, ensure_ascii=False) + "\n")

    def prepare(self) -> list[Record]:
        """Make the folder ready for more records, and return those that it has; call it once, under the lock.

        A line torn by a crash is cut off, records that an earlier run had to rescue elsewhere come back, and
        `records.csv` follows the journal again.

        Raises:
            StorageError: if the folder cannot be written.
            ValueError: if the journal, or the file of rescued records, is damaged.
        """
        with advising(self.folder):
            self._make_ready()
        self.adopt_rescued()
        return self.records()

    def append(
        self, record: Record, samples: Samples, operators: Calls | None = None, kernels: Calls | None = None
    ) -> None:
        """Keep one finished case: its raw samples and operators, then its journal line, then its row of the CSV file.

        Takes the same time however many records there are, but for a case that is recorded again and for the first
        call on an opened run, which read the journal once.

        Args:
            record: what the case ended in.
            samples: for each worker process, quantity (with its unit) -> values in the order taken.
            operators: torch operator -> calls in one iteration.
            kernels: device kernel -> launches in one iteration.

        Raises:
            StorageError: if a file cannot be written; the message names the file outside the run's folder in which the
                record was saved. `prepare` brings it back.
        """
        line = record.model_dump_json()
        try:
            self._keep(record, line, samples, operators or {}, kernels or {})
        except OSError as error:
            saved = self._rescue(record, line, samples, operators or {}, kernels or {})
            raise StorageError(error, self.folder, saved) from error
        with advising(self.folder, "The record is safe in journal.jsonl."):
            self._follow(line)

    def amend(self, record: Record) -> None:
        """Record a case again with more in its row; its raw samples stay.

        Raises:
            StorageError: if that fails; the former record stays.
        """
        line = record.model_dump_json()
        with advising(self.folder, f"Case {record.case_id} stays as it was recorded before."):
            self._make_ready()
            append_line(self.journal, line)
            self._follow(line)

    def _keep(self, record: Record, line: str, samples: Samples, operators: Calls, kernels: Calls) -> None:
        """All that makes a case finished; OSError leaves it unfinished."""
        self._make_ready()
        self._replace("samples", record.case_id, samples_csv(samples) if any(samples) else "")
        self._replace("operators", record.case_id, calls_csv(operators, kernels) if operators or kernels else "")
        append_line(self.journal, line)

    def _replace(self, kind: str, name: str, text: str) -> None:
        """Write `<kind>/<name>.csv`; without text, remove what an unfinished attempt at the case may have left."""
        folder = self.folder / kind
        if text:
            folder.mkdir(exist_ok=True)
            write_atomically(folder / f"{name}.csv", text)
        else:
            (folder / f"{name}.csv").unlink(missing_ok=True)

    def _follow(self, line: str) -> None:
        """Bring `records.csv` in step with the journal, of which `line` is the last."""
        record = Record.model_validate_json(line)  # as the journal has it: NaN and infinity are empty there
        assert self._known is not None
        if record.case_id in self._known:
            self._make_ready()  # recorded again: its former row has to go
        else:
            append_text(self.csv_file, csv_text(columns(), [record.row().values()], header=False))
            self._known.add(record.case_id)
            # last: if anything fails before, the next append finds another size and starts from the journal
            self._journal_bytes = self.journal.stat().st_size

    def _make_ready(self) -> None:
        """Cut off a torn line, learn the cases and rewrite `records.csv`, unless the journal is as we left it."""
        size = self.journal.stat().st_size if self.journal.is_file() else 0
        if self._known is not None and size == self._journal_bytes and self.csv_file.is_file():
            return
        drop_torn_line(self.journal)
        records = self.records()
        self.write_csv(records)
        self._known = {record.case_id for record in records}
        self._journal_bytes = self.journal.stat().st_size if self.journal.is_file() else 0

    def discard(self, case_id: str, samples: Samples, attempt: int) -> None:
        """Keep the raw samples of an attempt whose case is measured again, as `samples/<case_id>.attempt<N>.csv`.

        Raises:
            StorageError: if they cannot be written.
        """
        with advising(self.folder, f"The raw samples of attempt {attempt} at case {case_id} are lost."):
            self._replace("samples", f"{case_id}.attempt{attempt}", samples_csv(samples) if any(samples) else "")

    def samples(self, case_id: str, attempt: int | None = None) -> dict[str, list[list[float]]]:
        """Raw samples of a case: quantity -> for each worker process its values; empty if there are none.

        Args:
            case_id: the case.
            attempt: number of a discarded attempt; None for the samples behind the record.

        Raises:
            ValueError: if the file is damaged.
        """
        name = case_id if attempt is None else f"{case_id}.attempt{attempt}"
        return read_samples(self.folder / "samples" / f"{name}.csv")

    def operators(self, case_id: str) -> dict[tuple[str, str], int]:
        """What one iteration of a case ran: (`operator` or `kernel`, name) -> calls; empty if that was not recorded.

        Raises:
            ValueError: if the file is damaged.
        """
        return read_calls(self.folder / "operators" / f"{case_id}.csv")

    def records(self) -> list[Record]:
        """All finished cases, each as it was recorded last; raises ValueError as `read_journal` does."""
        return list({record.case_id: record for record in read_journal(self.journal)}.values())

    def write_csv(self, records: Sequence[Record]) -> None:
        """Write `records.csv` from scratch; raises OSError if that fails."""
        write_atomically(self.csv_file, csv_text(columns(), (record.row().values() for record in records)))

    def _rescue(self, record: Record, line: str, samples: Samples, operators: Calls, kernels: Calls) -> str:
        """Save outside the run's folder what it cannot take; a sentence that says where."""
        try:
            file = self._rescue_file()
            content = {"record": record, "samples": samples, "operators": operators, "kernels": kernels}
            rescue.save(file, rescue.Rescued.model_validate(content))
        except (OSError, ValueError) as error:
            return (
                f"Nor could the record be saved elsewhere ({error}): its raw samples are lost; to keep the record, "
                f"append this line to {self.journal}:\n{line}"
            )
        return f"The record is saved in {file}; --resume brings it back from there."

    def _rescue_file(self) -> Path:
        info = self.info()
        name = info.get("id") or f"{self.folder.name}-{info.get('started_at')}"  # runs of vigbench 0.1.0 have no id
        return rescue.rescue_file(str(name))

    def adopt_rescued(self) -> int:
        """Append the records of this run that `append` had to save elsewhere, and remove that file; their number.

        One that the journal holds already, or a later one of the same case, is passed over; what was measured counts
        more than what was pruned.

        Raises:
            StorageError: if the folder cannot be written; the file stays.
            ValueError: if the file is damaged.
        """
        try:
            file = self._rescue_file()
        except OSError:  # no folder for temporary files: nothing can have been saved there
            return 0
        rescued = rescue.read_rescued(file)
        held = {record.case_id: record for record in self.records()}
        missing = [entry for entry in rescued if rescue.supersedes(entry.record, held.get(entry.record.case_id))]
        with advising(self.folder, f"Records that belong there are safe in {file}."):
            for entry in missing:
                line = entry.record.model_dump_json()
                self._keep(entry.record, line, entry.samples, entry.operators, entry.kernels)
                self._follow(line)
        with contextlib.suppress(OSError):  # if it stays, all its records are passed over next time
            file.unlink()
        return len(missing)
