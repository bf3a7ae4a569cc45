"""The worker process from the inside: one job, then the process ends."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from vigbench.measure.memory import MIB
from vigbench.measure.settings import bind_threads
from vigbench.records.schema import Status
from vigbench.subjects.catalog import task_of
from vigbench.subjects.pass_progress import listen
from vigbench.suites.axes import Phase
from vigbench.suites.case import Case
from vigbench.worker.build import apply_case_settings, build_on_device, iteration, make_inputs
from vigbench.worker.contest import contest
from vigbench.worker.describe import ceilings_here, describe_here
from vigbench.worker.failures import guarded
from vigbench.worker.limits import cap_memory
from vigbench.worker.measure_case import measure_case
from vigbench.worker.messages import BlockRequest, Errand, Job, Message, Outcome, StageReport
from vigbench.worker.prepare import operator_of, require_one_rank
from vigbench.worker.survey import survey_here

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def worker_main(connection: Connection, output: Connection, job_json: str) -> None:
    """Entry point of the process.

    Args:
        connection: to and from the coordinator.
        output: takes what the subject prints.
        job_json: the job.
    """
    os.setsid()  # a group of its own, so that a timeout also ends what the subject started
    adopt_orphans()
    _redirect_output(output)
    commands = _listen(connection)
    job = Job.model_validate_json(job_json)
    case = job.case
    if case.device == "cpu":
        cap_memory(job.memory_limit_mib)
        if job.errand.is_timed and case.ranks == 1:  # who starts ranks must have no other threads to lose
            bind_threads(case.threads)

    def say(message: Message) -> None:
        connection.send_bytes(message.model_dump_json().encode())

    def on_stage(stage: str) -> None:
        listen(lambda done: say(StageReport(stage=f"{stage}: {done}")))
        say(StageReport(stage=stage))

    match job.errand:
        case Errand.measure if case.ranks > 1:
            from vigbench.worker.ranks import measure_ranks  # which needs what no other case needs

            say(measure_ranks(job, on_stage))
        case Errand.measure:
            references = None if job.references is None else Path(job.references)
            say(measure_case(case, job.budget_s, on_stage, calibrate=job.calibrate, references=references))
        case Errand.fit:
            say(fit_case(case, job.memory_limit_mib))
        case Errand.describe:
            say(Outcome(status=Status.ok, description=json.dumps(describe_here(case))))
        case Errand.ceilings:
            say(guarded(case, lambda: Outcome(status=Status.ok, description=json.dumps(ceilings_here(case)))))
        case Errand.check:
            from vigbench.worker.check_unit import check_here  # which needs what no case needs

            say(guarded(case, lambda: check_here(case, job.argument)))
        case Errand.profile:
            from vigbench.worker.profile_case import profile_here  # which needs what no case needs

            say(profile_here(case, job.argument, on_stage))
        case Errand.survey:
            say(survey_here(job.argument))
        case Errand.evaluate:
            from vigbench.worker.evaluate import evaluate_for  # which needs what no case needs

            say(guarded(case, lambda: evaluate_for(job.argument, say, commands)))
        case Errand.trial:
            from vigbench.worker.trial import try_settings  # needs triton

            try_settings(case, job.argument, say, commands)
        case Errand.contest:
            contest(case, job.budget_s, say, commands)


def fit_case(case: Case, memory_limit_mib: float | None) -> Outcome:
    """Run one iteration (two training steps): `ok` if it fits, else the status that says why not.

    Args:
        case: what to run.
        memory_limit_mib: MiB that the process may use on a CUDA device; None: all. (The worker caps a CPU's.)
    """

    def fit() -> Outcome:
        require_one_rank(case)
        operator = operator_of(case)
        apply_case_settings(case)
        if case.device == "cuda" and memory_limit_mib is not None:
            total = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, memory_limit_mib * MIB / total))
        task = task_of(case.subject)
        call, synchronize = iteration(build_on_device(case), case, task, make_inputs(case, task))
        call()
        if case.phase is Phase.training_step:  # the optimiser's state, made by the first step, lies beside the second
            call()
        synchronize()
        return Outcome(status=Status.ok, operator=operator)

    return guarded(case, fit)


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, so that whoever ends this process finds them all."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _redirect_output(output: Connection) -> None:
    """Whatever the subject prints goes into a pipe whose reader keeps the end, not into the progress bar."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()


def _listen(connection: Connection) -> Callable[[], BlockRequest]:
    """Receive commands from now on; end this process when the coordinator is gone, even if it was killed."""
    commands: queue.SimpleQueue[BlockRequest] = queue.SimpleQueue()

    def watch() -> None:
        try:
            while True:
                commands.put(BlockRequest.model_validate_json(connection.recv_bytes()))
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return commands.get


if __name__ == "__main__":  # started by another environment's coordinator, see process.py
    worker_main(Connection(int(sys.argv[1])), Connection(int(sys.argv[2]), readable=False), sys.argv[3])
