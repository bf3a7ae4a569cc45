"""The folder of an evaluation: predictions appended batch by batch, and what an interruption may have left of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vigbench.records.accuracy import (
    FORMAT,
    HEADER,
    INFO_FILE,
    TABLE_FILE,
    AccuracyRow,
    Prediction,
    accuracy_csv,
    parse_prediction,
    prediction_lines,
    predictions_name,
    read_accuracy,
)
from vigbench.records.files import StorageError, append_text, new_folder, starting_in, write_atomically
from vigbench.records.fingerprint import differences, fingerprint
from vigbench.records.lock import lock

COMPARED = ("settings", "checkpoint", "data", "transforms")
_NAMES = ("file", "folder")  # what a file is called may change; its content may not


class EvaluationFolder:
    """An evaluation on the disk.

    Attributes:
        folder: where.
        info: the content of `accuracy.json`.
    """

    def __init__(self, folder: Path, info: dict[str, Any]) -> None:
        self.folder, self.info = folder, info

    @classmethod
    def create(cls, out: Path, info: Mapping[str, Any]) -> EvaluationFolder:
        """Make a folder in `out`. ValueError if that fails."""
        device = "cpu" if info["device"] == "cpu" else info["device_name"].lower()
        subject, device = (
            re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.") for name in (info["settings"]["subject"], device)
        )
        content = {"format": FORMAT, **info, "fingerprint": fingerprint(info), "finished_at": None, "sessions": []}
        with starting_in(out):
            made = cls(new_folder(out, f"accuracy-{subject}-{device}-{datetime.now(UTC):%Y%m%d-%H%M%S}"), content)
            made._write_info()
        return made

    @classmethod
    def reopen(cls, folder: Path, info: Mapping[str, Any]) -> EvaluationFolder:
        """Continue an evaluation.

        Args:
            folder: where it is.
            info: of an evaluation that would start now.

        Raises:
            ValueError: if there is none, or its numbers would no longer be those of one evaluation; what changed is
                named.
        """
        then = read_accuracy(folder).info
        if changed := differences(_identity(then), _identity(info)):
            named = "; ".join(
                f"{name}: {was or 'nothing'} then, {now or 'nothing'} now" for name, (was, now) in changed.items()
            )
            raise ValueError(
                f"{folder} cannot be continued, since its images would not be treated alike: {named}. Go back to what "
                "it was, or leave --resume out."
            )
        return cls(folder, then)

    @contextmanager
    def session(self, **described: Any) -> Iterator[None]:
        """Write to the folder alone, and note when and how. ValueError if another process does."""
        with ExitStack() as stack:
            try:
                stack.enter_context(lock(self.folder / "lock"))
            except StorageError as error:
                raise self._unwritable(error.__cause__) from error
            except ValueError as error:
                raise ValueError(
                    f"Another vigbench process is writing to {self.folder}; wait until it has ended, or stop it."
                ) from error
            try:
                self.info["sessions"].append({"started_at": _now(), **described})
                self._write_info()
                yield
            except OSError as error:
                raise self._unwritable(error) from error

    def keep(self, resolution: int, predictions: Sequence[Prediction]) -> None:
        """Append predictions; they are on the disk when this returns. OSError if that fails."""
        append_text(self.folder / predictions_name(resolution), prediction_lines(predictions), sync=True)

    def take_up(
        self, resolution: int, images: Sequence[str], labels: Sequence[int], batch_size: int
    ) -> list[Prediction]:
        """The predictions that are there, after cutting off what is not a whole batch of whole lines.

        A batch that was torn is computed again as a whole: its images then stand in the batch in which they would
        stand without the interruption, and a result that depends on its neighbours by rounding stays the same.
        """
        path = self.folder / predictions_name(resolution)
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
        if not lines or lines[0] + b"\n" != HEADER.encode():
            write_atomically(path, HEADER)
            return []
        kept = list(_whole_lines(lines[1:-1], images, labels))
        if len(kept) < len(images):
            kept = kept[: len(kept) // batch_size * batch_size]
        size = sum(len(line) + 1 for line in lines[: len(kept) + 1])
        if size < path.stat().st_size:
            os.truncate(path, size)
        return kept

    def write_table(self, rows: Sequence[AccuracyRow]) -> None:
        """Replace `accuracy.csv`. OSError if that fails."""
        write_atomically(self.folder / TABLE_FILE, accuracy_csv(rows))

    def finish(self) -> None:
        """Note that nothing is missing."""
        self.info["finished_at"] = self.info["finished_at"] or _now()
        self._write_info()

    def _write_info(self) -> None:
        write_atomically(self.folder / INFO_FILE, json.dumps(self.info, indent=2, ensure_ascii=False) + "\n")

    def _unwritable(self, error: BaseException | None) -> ValueError:
        what = f"{error.filename or self.folder}: {error.strerror}" if isinstance(error, OSError) else str(self.folder)
        return ValueError(
            f"Cannot read or write {what}. What was computed before is kept; make that possible, then continue with "
            f"--resume {self.folder}."
        )


def _whole_lines(lines: Sequence[bytes], images: Sequence[str], labels: Sequence[int]) -> Iterator[Prediction]:
    """The predictions of the first images, as far as they are undamaged."""
    for line, image, label in zip(lines, images, labels, strict=False):
        try:
            found = parse_prediction(line.decode())
        except ValueError:
            return
        if (found.image, found.label) != (image, label):
            return
        yield found


def _identity(info: Mapping[str, Any]) -> dict[str, str]:
    """What has to stay the same, as one text for each name."""
    parts = {part: info.get(part) for part in COMPARED}
    named = {
        f"{part}.{name}": json.dumps(value, sort_keys=True)
        for part, content in parts.items()
        for name, value in (content if isinstance(content, Mapping) else {}).items()
        if name not in _NAMES
    }
    return {**named, "code": str(info.get("code", "")), **fingerprint(info)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
