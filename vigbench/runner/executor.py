"""Start a fresh worker for one case, and make sure that it ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from types import ModuleType

from vigbench.records.schema import Status
from vigbench.runner.messages import Job, Outcome, Stage, decode
from vigbench.runner.worker import worker_main
from vigbench.suites.case import Case
from vigbench.suites.duration import format_duration

GRACE_S = 5.0  # between a worker's outcome and the end of its process
LOG_TAIL = 300  # characters of a crashed worker's last words


@lru_cache(maxsize=1)
def _context() -> BaseContext:
    """A fork server that has torch and timm imported, so that a worker starts in milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vigbench.runner.preload"])
    return context


def run_in_worker(case: Case, *, budget_s: float, timeout_s: float, on_stage: Callable[[str], None]) -> Outcome:
    """Measure one case in a fresh process; whatever happens to that process, there is one outcome.

    Args:
        case: what to measure.
        budget_s: seconds for warm-up and sampling.
        timeout_s: seconds after which the process, and all that it started, is killed.
        on_stage: told what the worker does.
    """
    with tempfile.TemporaryDirectory(prefix="vigbench-") as folder:
        log_file = Path(folder) / "worker.log"
        job = Job(case=case, budget_s=budget_s, log_file=str(log_file))
        here, there = _context().Pipe(duplex=True)
        process = _context().Process(target=worker_main, args=(there, job.model_dump_json()), daemon=True)  # type: ignore[attr-defined]
        with _without_main():
            process.start()
        there.close()
        try:
            outcome = _wait(here, monotonic() + timeout_s, on_stage)
            process.join(GRACE_S)
            return outcome or Outcome(status=Status.crashed, reason=_crash_reason(process, log_file))
        except TimeoutError:
            limit = format_duration(timeout_s)
            reason = f"Stopped after {limit}; raise --case-timeout, or leave this resolution out."
            return Outcome(status=Status.timeout, reason=reason)
        finally:
            here.close()
            _kill(process)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keep the worker from importing the user's script, which may call `vigbench.run` outside a `__main__` guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _wait(connection: Connection, deadline: float, on_stage: Callable[[str], None]) -> Outcome | None:
    """The worker's outcome; None if the worker ends without one; TimeoutError if the deadline passes."""
    while True:
        if not connection.poll(max(0.0, deadline - monotonic())):
            raise TimeoutError
        try:
            message = decode(connection.recv_bytes())
        except (EOFError, OSError):
            return None
        if isinstance(message, Outcome):
            return message
        assert isinstance(message, Stage)
        on_stage(message.stage)


def _kill(process: BaseProcess) -> None:
    """End the worker's whole process group: a subject may have started processes of its own."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    process.join()


def _crash_reason(process: BaseProcess, log_file: Path) -> str:
    code = process.exitcode
    last_words = log_file.read_text(errors="replace")[-LOG_TAIL:].strip() if log_file.exists() else ""
    said = f" Its last words: {' '.join(last_words.split())}" if last_words else ""
    if code is None or code >= 0:
        return f"The worker ended with exit code {code} before it had a result.{said}"
    name = signal.Signals(-code).name
    cause = (
        " Often that is the kernel's out-of-memory killer: use a smaller batch or resolution."
        if name == "SIGKILL"
        else ""
    )
    return f"The worker was killed by {name}.{cause}{said}"
