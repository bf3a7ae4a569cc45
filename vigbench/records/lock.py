"""One writer at a time: a lock file that names its holder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from vigbench.records.files import advising

NO_LOCKS = "vigbench cannot notice a second process that writes to this run's folder here: start only one."


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
