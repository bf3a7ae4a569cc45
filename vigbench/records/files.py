"""Writing files: a crash or a full disk leaves the old or the new content, never half of it; one writer at a time."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Free space there"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "Make it writable"),
    errno.ENOENT: "Put the run's folder back",
}
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
NO_LOCKS = "vigbench cannot notice a second process that writes to this run's folder here: start only one."

T = TypeVar("T")


class StorageError(ValueError):
    """A file of a run could not be written; the message says which, why, what was saved and what to do."""

    def __init__(self, error: OSError, folder: Path, saved: str = "") -> None:
        advice = _ADVICE.get(error.errno or 0, "Check that disk")
        super().__init__(
            f"Cannot write {error.filename or folder}: {error.strerror or error}. "
            f"{advice}, then continue with: vigbench run --resume {quote(str(folder))}"
            + (f"\n{saved}" if saved else "")
        )


@contextlib.contextmanager
def advising(folder: Path, saved: str = "") -> Iterator[None]:
    """Turn an OSError into a StorageError about the run in `folder`; `saved` says what is safe nevertheless."""
    try:
        yield
    except OSError as error:
        raise StorageError(error, folder, saved) from error


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Make every OSError carry the file that was meant: a failed write names none, a temporary file says little."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text` and wait until it is on the disk; OSError leaves the old content."""
    temporary = path.with_name(f".{path.name}.tmp")
    with _naming(path):
        try:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()  # on a full disk, its space is needed
            raise
        sync_folder(path.parent)


def append_line(path: Path, line: str, *, mode: int = 0o666) -> None:
    """Append one line, see `append_text`, and wait until it is on the disk."""
    assert "\n" not in line
    append_text(path, line + "\n", mode=mode, sync=True)


def append_text(path: Path, text: str, *, mode: int = 0o666, sync: bool = False) -> None:
    """Append `text`; OSError where that fails, and then what was written of it is cut off again if possible.

    Args:
        path: the file; made, with the permissions `mode`, where there is none.
        text: what to append.
        mode: permissions of a new file.
        sync: wait until it is on the disk.
    """
    # unbuffered: a buffer would try once more to write the rest when the file is closed, after the cut
    with _naming(path), os.fdopen(os.open(path, _APPEND, mode), "ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        rest = memoryview(text.encode())
        try:
            while rest:
                rest = rest[file.write(rest) :]
            if sync:
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise


def sync_folder(folder: Path) -> None:
    """Make new names in `folder` durable; a no-op where folders cannot be opened (Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def csv_text(names: Iterable[str], rows: Iterable[Iterable[Any]], *, header: bool = True) -> str:
    """Rows as CSV, with a line of names first unless `header` is false."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(names)
    for row in rows:
        # csv does not quote a lone carriage return, and readers end the line there
        writer.writerow([cell.replace("\r", "\n") if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def read_csv(path: Path, parse: Callable[[dict[str, str]], T]) -> list[T]:
    """Every row (name -> text) of a CSV file as `parse` reads it; empty if there is no file.

    Raises:
        ValueError: if it is damaged; the message names file and line.
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            return [parse(row) for row in reader]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(f"{path}, line {reader.line_num}, is damaged: {error!r}") from error


@contextlib.contextmanager
def lock(path: Path) -> Iterator[str]:
    """Hold the lock file `path`, which names this process, until the block or the process ends, killed or not.

    Yields:
        Empty while the lock is held; else the reason why this system cannot lock, as a sentence.

    Raises:
        ValueError: if another process holds it.
        StorageError: if the file cannot be made.
    """
    with advising(path.parent):
        descriptor, reason = _take(path)
    try:
        if not reason:
            with contextlib.suppress(OSError):  # the number is a courtesy; the lock holds without it
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
        yield reason
    finally:
        with contextlib.suppress(OSError):  # a stale file does no harm: it is the lock on it that counts
            path.unlink()
        os.close(descriptor)


def _take(path: Path) -> tuple[int, str]:
    """An open, locked file, and no reason; or an open file, and the reason why it is not locked."""
    while True:
        # not inherited by child processes (PEP 446): a lock must not outlive its holder in one of them
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            reason = _try_flock(descriptor)
            if reason or _is_still(path, descriptor):
                return descriptor, reason
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise ValueError(
                f"Another vigbench process{f' (process {holder})' if holder else ''} is writing to {path.parent}. "
                f"Wait until it has ended or stop it, then: vigbench run --resume {quote(str(path.parent))}"
            ) from None
        os.close(descriptor)


def _try_flock(descriptor: int) -> str:
    """Lock, or say why not; BlockingIOError if another process has the lock."""
    try:
        import fcntl
    except ImportError:
        return f"This system has no fcntl file locks: {NO_LOCKS}"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:  # some network file systems
        return f"This file system has no file locks ({error.strerror}): {NO_LOCKS}"
    return ""


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether `path` is the file that was opened: its former holder may have removed it in between."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
