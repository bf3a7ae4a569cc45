"""A run's folder: `run.json`, `journal.jsonl`, `records.csv` and `samples/<case_id>.csv`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vigbench.records.files import append_line, sync_folder, write_atomically
from vigbench.records.schema import Record, columns


class RunStore:
    """One run on the disk.

    The journal is the truth: one line, appended and fsynced, for each finished case. `records.csv` is rewritten from
    it after every case. A case counts as finished once its line is in the journal, and its raw samples are on the disk
    before that.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self.info_file = folder / "run.json"

    @classmethod
    def create(cls, folder: Path, info: Mapping[str, Any]) -> RunStore:
        """Start a run in a new folder.

        Raises:
            ValueError: if the folder exists.
        """
        try:
            (folder / "samples").mkdir(parents=True)
        except FileExistsError:
            raise ValueError(
                f"{folder} exists already; continue it with --resume {folder}, or choose another --out."
            ) from None
        sync_folder(folder.parent)
        store = cls(folder)
        store.write_info(info)
        store.journal.touch()
        store.write_csv([])
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
        return store

    def info(self) -> dict[str, Any]:
        """The content of `run.json`.

        Raises:
            ValueError: if it is damaged.
        """
        try:
            info = json.loads(self.info_file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.info_file} is damaged: {error}") from error
        if not isinstance(info, dict):
            raise ValueError(f"{self.info_file} is damaged: it does not hold an object.")
        return info

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace `run.json`."""
        write_atomically(self.info_file, json.dumps(info, indent=2, ensure_ascii=False) + "\n")

    def append(self, record: Record, samples: Mapping[str, Sequence[float]]) -> None:
        """Keep one finished case: its raw samples (name -> values), then its journal line, then the CSV file."""
        if samples:
            write_atomically(self.folder / "samples" / f"{record.case_id}.csv", _samples_csv(samples))
        append_line(self.journal, record.model_dump_json())
        self.write_csv(self.records())

    def records(self) -> list[Record]:
        """All finished cases, in the order in which they ended.

        Raises:
            ValueError: if a line other than a torn last one cannot be read.
        """
        if not self.journal.is_file():
            return []
        lines = self.journal.read_bytes().split(b"\n")
        lines.pop()  # empty after a complete line, else torn by a crash: that case is not finished
        found: dict[str, Record] = {}
        for number, line in enumerate(lines, 1):
            try:
                record = Record.model_validate_json(line)
            except ValidationError as error:
                raise ValueError(
                    f"{self.journal}, line {number}: this is not a record of this version of vigbench."
                ) from error
            found[record.case_id] = record
        return list(found.values())

    def drop_torn_line(self) -> None:
        """Cut off an unfinished last line, so that the next record starts on a line of its own."""
        content = self.journal.read_bytes() if self.journal.is_file() else b""
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            with self.journal.open("r+b") as file:
                file.truncate(complete)

    def write_csv(self, records: Sequence[Record]) -> None:
        """Write `records.csv` from scratch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(columns()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(record.row() for record in records)
        write_atomically(self.folder / "records.csv", text.getvalue())


def _samples_csv(samples: Mapping[str, Sequence[float]]) -> str:
    """Long form: one line a sample, in the order taken."""
    lines = ["quantity,index,value"]
    lines += [f"{name},{index},{value!r}" for name, values in samples.items() for index, value in enumerate(values)]
    return "\n".join(lines) + "\n"
