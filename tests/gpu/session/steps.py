"""Steps of a GPU session: child processes, each with a time limit cut from what is left of the budget."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from time import monotonic

import psutil

from tests.gpu.session.page import Row, Status
from tests.gpu.session.summary import Summary, failure_line, faults_of_run, last_words
from vigbench.interrupt import StopRequest
from vigbench.records.files import append_line

POLL_S = 0.2
GRACE_S = {"timeout": 20.0, "interrupted": 5.0}  # from SIGINT to SIGKILL: pytest and runs write what they have
KILL_S = 30.0  # for a killed process to vanish: a driver can hold one in the kernel for ever
MARK = "VIGBENCH_GPU_STEP"  # in the environment of all that a step starts, so that it is found wherever it went
NOTICE = "Stopping this step and the session; press Ctrl-C again to stop now.\n"


class End(StrEnum):
    """How a step's process came to its end."""

    by_itself = "by itself"
    timeout = "timeout"
    interrupted = "interrupted"


@dataclass(frozen=True)
class Step:
    """One part of a session.

    Args:
        name: what its log and its failures are called.
        group: what `--only` names.
        share: of the time that is left, in proportion to the shares of the steps after it.
        command: what it runs, from its limit in seconds.
        stdout: the file of the folder that takes what it prints to stdout; the log if None.
        faults: what that file says is wrong, as lines of a failures file.
        environment: variables in addition to the session's.
        open_ended: it would go on for long, and what it has written when its time is over counts.
    """

    name: str
    group: str
    share: float
    command: Callable[[float], Sequence[str]]
    stdout: str | None = None
    faults: Callable[[Path], list[str]] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    open_ended: bool = False


def limit_s(left_s: float, steps: Sequence[Step]) -> float:
    """Seconds for the first of `steps`, when these have `left_s` together; what it does not use the others get."""
    return left_s * steps[0].share / sum(step.share for step in steps)


def run_steps(steps: Sequence[Step], summary: Summary, budget_s: float, clock: Callable[[], float] = monotonic) -> bool:
    """Run steps in turn, whatever becomes of each; True unless SIGINT or SIGTERM ended that early.

    Args:
        steps: what to run.
        summary: where each step's row is kept; on the disk after every change.
        budget_s: for all of them.
        clock: seconds that only grow.
    """
    deadline = clock() + budget_s
    for step in steps:
        summary.begin_anew(step.name)
    with StopRequest(lambda: _tell(NOTICE)) as stop:
        for number, step in enumerate(steps):
            allowed_s = limit_s(deadline - clock(), steps[number:])
            if stop.requested:
                break
            if allowed_s <= 0:
                summary.set(step.name, Row(Status.not_run, said=["the budget was spent; a larger --budget reaches it"]))
                continue
            summary.set(step.name, Row(Status.running, limit_s=round(allowed_s, 1)))
            _tell(f"{step.name}: at most {allowed_s:.0f} s, log in {summary.log(step.name)}\n")
            try:
                row = _run(step, allowed_s, summary, clock, stop)
            except KeyboardInterrupt:  # the second signal: its processes are dead
                row = Row(Status.interrupted, limit_s=round(allowed_s, 1))
                stop.requested = True
            summary.set(step.name, row)
            _tell(f"{step.name}: {row.status} after {row.seconds:.0f} s\n")
    return not stop.requested


def _run(step: Step, allowed_s: float, summary: Summary, clock: Callable[[], float], stop: StopRequest) -> Row:
    command = list(step.command(allowed_s))
    mark = uuid.uuid4().hex
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **step.environment, MARK: mark}
    log, runs_before, begun = summary.log(step.name), summary.runs(), clock()
    with contextlib.ExitStack() as files:
        # files, not pipes: what was printed is there even if this process is killed
        stderr = files.enter_context(log.open("wb"))
        stdout = files.enter_context((summary.folder / step.stdout).open("wb")) if step.stdout else stderr
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the session, which then ends the step
        )
        end = End.interrupted
        try:
            end = _wait(process, begun + allowed_s, clock, stop)
        finally:
            _end(process, mark, GRACE_S.get(end, 0.0))
    faults = [line for run in sorted(summary.runs() - runs_before) for line in faults_of_run(run)]
    if step.stdout:
        faults += _faults_in(summary.folder / step.stdout, step)
    for line in faults:
        append_line(summary.failures_file(step.name), line)
    code = process.returncode
    status = _status(step, end, code)
    said = [] if status is Status.passed else last_words(log)
    if end is End.by_itself and code is not None and code < 0:
        said = [f"ended by {signal.Signals(-code).name}", *said]
    if status in (Status.failed, Status.timeout) and not summary.failures(step.name):
        append_line(summary.failures_file(step.name), failure_line(step.name, f"{status}: {' / '.join(said)}"))
    return Row(status, round(clock() - begun, 1), round(allowed_s, 1), code, said)


def _faults_in(stdout: Path, step: Step) -> list[str]:
    if not stdout.stat().st_size:  # it was ended before it had a result
        stdout.unlink()
        return []
    return step.faults(stdout) if step.faults else []


def _status(step: Step, end: End, code: int | None) -> Status:
    if end is End.interrupted:
        return Status.interrupted
    if end is End.timeout:
        return Status.stopped if step.open_ended else Status.timeout
    return Status.passed if code == 0 else Status.failed


def _wait(process: subprocess.Popen[bytes], until: float, clock: Callable[[], float], stop: StopRequest) -> End:
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
            return End.by_itself
        if stop.requested:
            return End.interrupted
        if clock() > until:
            return End.timeout


def _end(process: subprocess.Popen[bytes], mark: str, grace_s: float) -> None:
    """Ask a process to end, then kill it and all that it started: one that hangs would hold the GPU."""
    try:
        if process.poll() is None and grace_s:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
    finally:
        if process.poll() is None:
            process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_S)
        while marked := _marked(mark):  # again: one may start another just before it dies
            for one in marked:
                with contextlib.suppress(psutil.Error):
                    one.kill()
            if psutil.wait_procs(marked, timeout=KILL_S)[1]:
                break


def _marked(mark: str) -> list[psutil.Process]:
    """The live processes that a step started, also those which left its session or have lost their parents."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if one.environ().get(MARK) == mark and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


def _tell(text: str) -> None:
    # not print(): called in a signal's handler too; and a terminal that is gone does not end the session
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
