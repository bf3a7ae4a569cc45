"""The worker process: one case, one outcome, then the process ends."""

from __future__ import annotations

import os
import sys
import threading
from multiprocessing.connection import Connection

from vigbench.measure.environment import available_memory
from vigbench.measure.memory import status_bytes
from vigbench.runner.measure_case import measure_case
from vigbench.runner.messages import Job, Outcome, Stage

MEMORY_SHARE = 0.95  # of the memory free at the start; the rest keeps the machine alive


def worker_main(connection: Connection, job_json: str) -> None:
    """Entry point of the process: measure the job's case and send its outcome."""
    job = Job.model_validate_json(job_json)
    os.setsid()  # a group of its own, so that a timeout also ends what the subject started
    _redirect_output(job.log_file)
    _die_with_parent(connection)
    if job.case.device == "cpu":
        _cap_memory()

    def say(message: Stage | Outcome) -> None:
        connection.send_bytes(message.model_dump_json().encode())

    say(measure_case(job.case, job.budget_s, lambda stage: say(Stage(stage=stage))))


def _redirect_output(log_file: str) -> None:
    """Whatever the subject prints goes to a file, not into the progress bar."""
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _die_with_parent(connection: Connection) -> None:
    """End this process when the coordinator is gone, even if it was killed."""

    def watch() -> None:
        try:
            connection.recv_bytes()  # the coordinator never sends: this returns only when its end is closed
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _cap_memory() -> None:
    """Make an allocation beyond the free memory fail here, instead of the machine swapping or killing at random."""
    if sys.platform != "linux":
        return
    import resource

    limit = status_bytes("VmData") + int(MEMORY_SHARE * available_memory())
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
