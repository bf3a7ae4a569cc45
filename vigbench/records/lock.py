"""One writer at a time: a lock file that names its holder."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from filelock import BaseFileLock, FileLock, Timeout

from vigbench.records.files import advising

NO_LOCKS = "vigbench cannot notice a second process that writes to this run's folder here: start only one."
_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)  # some network file systems


@contextlib.contextmanager
def lock(path: Path) -> Iterator[str]:
    """Hold the lock file `path`, which names this process, until the block or the process ends, killed or not.

    Yields:
        Empty while the lock is held; else the reason why this system cannot lock, as a sentence.

    Raises:
        ValueError: if another process holds it.
        StorageError: if the file cannot be made.
    """
    # no fallback to a file that only exists: one that a killed process has left would look like a writer
    held = FileLock(path, timeout=0, fallback_to_soft=False)
    with advising(path.parent):
        reason = _take(held, path)
    try:
        if not reason:
            with contextlib.suppress(OSError):  # the number is a courtesy; the lock holds without it
                path.write_text(str(os.getpid()), encoding="utf-8")
        yield reason
    finally:
        with contextlib.suppress(OSError):  # a stale file does no harm: it is the lock on it that counts
            path.unlink()
        held.release()


def _take(held: BaseFileLock, path: Path) -> str:
    """Lock, or say why this system cannot."""
    try:
        held.acquire()
    except Timeout:
        holder = _holder(path)
        raise ValueError(
            f"Another vigbench process{f' (process {holder})' if holder else ''} is writing to {path.parent}. "
            f"Wait until it has ended or stop it, then: vigbench run --resume {quote(str(path.parent))}"
        ) from None
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return f"This file system has no file locks ({error.strerror}): {NO_LOCKS}"
    return ""


def _holder(path: Path) -> str:
    """The number that the holder wrote; empty if it has not, or is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()[:32]
    except OSError:
        return ""
