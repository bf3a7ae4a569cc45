"""A worker process from the outside: start it, talk to it, and make sure that nothing of it is left.

Whatever happens to the process of a job, there is one outcome (`run_in_worker`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic, sleep

import psutil

from vigbench.measure.waiting import waiting_for
from vigbench.records.schema import Status
from vigbench.records.stages import FIRST, LAST, stage_columns
from vigbench.runner.fork_server import context, serving, variables_of_worker, waiting_of
from vigbench.suites.duration import format_duration
from vigbench.worker.main import worker_main
from vigbench.worker.messages import BlockRequest, Job, Message, Outcome, StageReport, decode

GRACE_S = 5.0  # between a worker's outcome and the end of its process
KILL_S = 30.0  # for a killed process to vanish; a driver or a network disk can hold one in the kernel for ever
START = (  # an earlier build has its worker elsewhere
    "from importlib.util import find_spec; from runpy import run_module; run_module("
    "'vigbench.worker.main' if find_spec('vigbench.worker') else 'vigbench.runner.worker', run_name='__main__')"
)
LOG_TAIL = 300  # characters of a crashed worker's last words
_alive: set[int] = set()  # pids of this process's workers


class WorkerEndedError(Exception):
    """The worker ended without the message that was waited for; the text says how, for a person."""


class Worker:
    """One fresh process for one job. Use as a context manager: on exit the process and all that it started is dead.

    Args:
        job: what it does.
        python: interpreter of another environment whose vigbench shall do it; None: this one.
        forked: whether this environment's worker comes from the fork server, in milliseconds, or starts by itself, in
            seconds, as another environment's does.
        waiting: variables by which its threads wait, see `fork_server.waiting_of`; None: as the load asks for now
            where something is timed.
    """

    def __init__(
        self,
        job: Job,
        python: str | None = None,
        *,
        forked: bool = True,
        waiting: Mapping[str, str] | None = None,
    ) -> None:
        if waiting is None:
            waiting = waiting_of(job.case) if job.errand.is_timed else waiting_for(0.0)
        variables = variables_of_worker(waiting)
        self._here, there = context().Pipe(duplex=True)
        output, output_end = context().Pipe(duplex=False)
        self._tail: deque[bytes] = deque(maxlen=2)
        if python is None and forked:
            arguments = (there, output_end, job.to_json())
            process = context().Process(target=worker_main, args=arguments, daemon=not job.starts_processes)
            with serving(variables):
                process.start()
            assert process.pid is not None
            self._join: Callable[[float | None], None] = process.join
            self._exit_code: Callable[[], int | None] = lambda: process.exitcode
            self._pid = process.pid
            self._server = _parent_of(self._pid)
        else:
            child = _start_alone(python, there, output_end, job, variables)
            self._join, self._exit_code = _quiet_wait(child), child.poll
            self._pid, self._server = child.pid, None
        _alive.add(self._pid)
        there.close()
        output_end.close()
        self._reader = threading.Thread(target=self._keep_last_words, args=(output,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and all that it started."""
        self._here.close()
        self._kill()

    def send(self, message: BlockRequest) -> None:
        """Tell a contestant what to do. WorkerEndedError if it is gone."""
        try:
            self._here.send_bytes(message.model_dump_json().encode())
        except OSError as error:
            raise WorkerEndedError(self._how_it_ended()) from error

    def receive(self, deadline: float) -> Message:
        """The worker's next message.

        Args:
            deadline: on the clock of `time.monotonic`.

        Raises:
            TimeoutError: if it passes.
            WorkerEndedError: if the worker ends first.
        """
        if not self._here.poll(max(0.0, deadline - monotonic())):
            raise TimeoutError
        try:
            return decode(self._here.recv_bytes())
        except (EOFError, OSError) as error:
            raise WorkerEndedError(self._how_it_ended()) from error

    def let_end(self) -> None:
        """Give the process the time to end by itself after its outcome."""
        self._join(GRACE_S)

    def _keep_last_words(self, output: Connection) -> None:
        """Read what the subject prints, however much that is, and keep the end of it."""
        with output:
            while chunk := os.read(output.fileno(), 2**16):
                self._tail.append(chunk)

    def _how_it_ended(self) -> str:
        self._join(GRACE_S)
        self._reader.join(0.5)  # a child that is still alive may hold the pipe open
        last_words = b"".join(self._tail).decode(errors="replace")[-LOG_TAIL:]
        said = f" Its last words: {' '.join(last_words.split())}" if last_words.strip() else ""
        code = self._exit_code()
        if code is None or code >= 0:
            return f"The worker ended with exit code {code} before it had a result.{said}"
        name = signal.Signals(-code).name
        cause = (
            " Often that is the kernel's out-of-memory killer: use a smaller batch or resolution."
            if name == "SIGKILL"
            else ""
        )
        return f"The worker was killed by {name}.{cause}{said}"

    def _kill(self) -> None:
        """End the worker's process group and whatever has left the group: its descendants, adopted ones included."""
        descendants = _descendants(self._pid)
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self._pid, signal.SIGKILL)
        self._join(KILL_S)
        _alive.discard(self._pid)
        _kill_all(descendants)
        if self._server is not None:
            _kill_strays(self._server)


class StageClock:
    """Seconds by stage, by the clock of the coordinator: a worker cannot tell how long it took to start or to end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = FIRST, monotonic()

    def enter(self, stage: str) -> None:
        """The stage until now is over; `stage` begins."""
        now = monotonic()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now


def run_in_worker(
    job: Job,
    *,
    timeout_s: float,
    on_stage: Callable[[str], None],
    python: str | None = None,
    waiting: Mapping[str, str] | None = None,
) -> Outcome:
    """Do one job in a fresh process; the outcome's metrics have the seconds of each stage that it reached.

    Args:
        job: what to do.
        timeout_s: seconds after which the process, and all that it started, is killed.
        on_stage: told what the worker does.
        python: interpreter of another environment, whose vigbench shall do it; None: this one.
        waiting: see `Worker`.
    """
    clock = StageClock()

    def enter(stage: str) -> None:
        clock.enter(stage.partition(":")[0])
        on_stage(stage)

    with Worker(job, python, waiting=waiting) as worker:
        outcome = _outcome_of(worker, timeout_s, enter)
        clock.enter(LAST)
        if outcome.status is not Status.timeout:
            worker.let_end()
    clock.enter("")
    metrics = outcome.metrics.model_copy(update=stage_columns(clock.seconds))
    return outcome.model_copy(update={"metrics": metrics})


def _outcome_of(worker: Worker, timeout_s: float, on_stage: Callable[[str], None]) -> Outcome:
    deadline = monotonic() + timeout_s
    try:
        while isinstance(message := worker.receive(deadline), StageReport):
            on_stage(message.stage)
    except TimeoutError:
        limit = format_duration(timeout_s)
        reason = f"Stopped after {limit}; raise --case-timeout, or leave this size out."
        return Outcome(status=Status.timeout, reason=reason)
    except WorkerEndedError as end:
        return Outcome(status=Status.crashed, reason=str(end))
    assert isinstance(message, Outcome)
    return message


def _kill_strays(server: int) -> None:
    """Kill what a dead worker has left: such processes are the fork server's children, which is their subreaper."""
    deadline = monotonic() + KILL_S
    # again until there are none: one that starts another just before it dies leaves that to the server too
    while (strays := [child for child in _children(server) if _is_stray(child, server)]) and monotonic() < deadline:
        _kill_all([*strays, *(descendant for stray in strays for descendant in _descendants(stray.pid))])
        sleep(0.001)


def _is_stray(child: psutil.Process, server: int) -> bool:
    """Whether a live child of the fork server was left by a worker; other users of that server are in its session."""
    if child.pid in _alive:
        return False
    try:
        return os.getsid(child.pid) != os.getsid(server) and child.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def _parent_of(pid: int) -> int | None:
    try:
        parent = psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:  # it has crashed already
        return None
    return parent if parent not in (os.getpid(), 1) else None


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.kill()  # psutil makes sure that the pid still means the same process


def _start_alone(
    python: str | None, connection: Connection, output: Connection, job: Job, variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """A worker without the fork server; in another environment nothing from here may bring in this vigbench."""
    ends = (connection.fileno(), output.fileno())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | dict(variables)
    if python is None:
        python, environment["PYTHONPATH"] = sys.executable, os.pathsep.join(filter(None, sys.path))
    elif os.sep in python:
        python = str(Path(python).absolute())  # not resolved: the link is what makes it that environment's
    # -P: the current folder may be a checkout of this vigbench; subjects are still found there (subjects/factory.py)
    command = [python, "-P", "-c", START, *map(str, ends), job.to_json()]
    try:
        return subprocess.Popen(  # noqa: S603  the user named the interpreter
            command, pass_fds=ends, env=environment, stdout=ends[1], stderr=ends[1]
        )
    except OSError as error:
        raise ValueError(f"Cannot start {python}: {error.strerror}. Name the Python of an environment.") from error


def _quiet_wait(child: subprocess.Popen[bytes]) -> Callable[[float | None], None]:
    def wait(timeout_s: float | None) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout_s)

    return wait
