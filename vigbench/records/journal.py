"""The journal of a run: one record in a line, appended and never rewritten."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from vigbench.records.schema import Record, first_mistake

_ABOVE_ZERO, _MOST = ("latency_ms", "throughput_per_s"), 1e12
_BLOCK = 2**16  # bytes read at once while looking for the end of the last complete line


def read_journal(journal: Path) -> Iterator[Record]:
    """Every line of the journal, in order; a case that was recorded again comes again.

    Raises:
        ValueError: if a line other than a torn last one cannot be read.
    """
    if not journal.is_file():
        return
    with journal.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # torn by a crash: that case is not finished
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)  # an editor has saved it
            try:
                record = Record.model_validate_json(line, strict=True)
            except ValidationError as error:
                raise _refused(journal, number, first_mistake(error)) from error
            if impossible := _impossible(record):
                raise _refused(journal, number, impossible)
            yield record


def _impossible(record: Record) -> str:
    """What cannot have been measured, for a message; else empty."""
    found = {name: getattr(record.metrics, name) for name in _ABOVE_ZERO}
    wrong = [f"{name} is {value}" for name, value in found.items() if value is not None and not 0 < value < _MOST]
    return wrong[0] if wrong else ""


def _refused(journal: Path, number: int, why: str) -> ValueError:
    return ValueError(
        f"{journal}, line {number}: this is not a record of this version of vigbench ({why}). Read it with the version "
        "that wrote it, or move the run away."
    )


def drop_torn_line(journal: Path) -> None:
    """Cut off an unfinished last line, so that the next record starts on a line of its own."""
    if not journal.is_file():
        return
    with journal.open("rb") as file:
        size = complete = file.seek(0, os.SEEK_END)
        while complete:
            start = max(0, complete - _BLOCK)
            file.seek(start)
            newline = file.read(complete - start).rfind(b"\n")
            complete = start + newline + 1
            if newline >= 0:
                break
    if complete < size:
        os.truncate(journal, complete)
