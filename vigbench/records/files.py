"""Files: a crash or a full disk leaves the old or the new content; what others have saved since can be read."""

from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Free space there"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "Make it writable"),
    errno.ENOENT: "Put the run's folder back",
}
ESCAPED = "backslashreplace"  # a file's name may be no text; in JSON, what is written then is its escape
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


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


def read_text(path: Path) -> str:
    """A text file that somebody may have saved anew: UTF-8, with a byte order mark or without.

    Raises:
        ValueError: if it is no UTF-8; the message names the file.
        OSError: if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: save it as UTF-8.") from error


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises as `read_text` does, and ValueError if it holds no object."""
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nesting"
        raise ValueError(f"{path} is damaged: it is no JSON from {where} on.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it does not hold an object.")
    return content


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text` and wait until it is on the disk; OSError leaves the old content."""
    temporary = path.with_name(f".{path.name}.tmp")
    with _naming(path):
        try:
            with temporary.open("w", encoding="utf-8", errors=ESCAPED, newline="") as file:
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
        rest = memoryview(text.encode(errors=ESCAPED))
        try:
            while rest:
                rest = rest[file.write(rest) :]
            if sync:
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise


def matching(pattern: str) -> list[Path]:
    """What a path or a glob pattern names, sorted; an existing folder is tried first: its name may hold a glob's."""
    if Path(pattern).is_dir():
        return [Path(pattern)]
    return [Path(name) for name in sorted(glob.glob(pattern))]  # noqa: PTH207  takes absolute patterns too


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder in `parent`: `name`, or where that is taken `name-2`, `name-3` and so on; OSError if it fails."""
    parent.mkdir(parents=True, exist_ok=True)
    for folder in itertools.chain([parent / name], (parent / f"{name}-{number}" for number in itertools.count(2))):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


@contextlib.contextmanager
def starting_in(out: Path) -> Iterator[None]:
    """Turn an OSError while a new folder of `out` is made into a ValueError that says what to do."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"Cannot write to {out}: {error.strerror}. Choose another folder with --out.") from error


def sync_folder(folder: Path) -> None:
    """Make new names in `folder` durable; a no-op where folders cannot be opened (Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
