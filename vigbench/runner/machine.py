"""The machine as a run describes it, asked by a process of its own where asking would leave something behind."""

from __future__ import annotations

import json
from typing import Any

from vigbench.measure.environment import describe_environment, device_name
from vigbench.records.fingerprint import code_hash
from vigbench.records.schema import PROTOCOL, Status
from vigbench.runner.executor import run_in_worker
from vigbench.runner.messages import Job, Task
from vigbench.suites.case import Case

TIMEOUT_S = 120.0


def describe_here(case: Case) -> dict[str, Any]:
    """What a case's numbers depend on: `protocol`, `device`, `device_name`, `environment` and `code`, for run.json."""
    return {
        "protocol": PROTOCOL,
        "device": case.device.value,
        "device_name": device_name(case.device, case.threads),
        "environment": describe_environment(case.device, case.threads),
        "code": code_hash(),
    }


def describe_machine(case: Case, python: str | None = None) -> dict[str, Any]:
    """The same, without leaving anything behind here.

    On CUDA a worker is asked: a context of the coordinator would stay on the GPU beside every case, with its memory.

    Args:
        case: its device is described.
        python: interpreter of another environment to ask; None: this one.

    Raises:
        ValueError: if there is no answer.
    """
    if python is None and case.device != "cuda":
        return describe_here(case)
    job = Job(case=case, task=Task.describe)
    outcome = run_in_worker(job, timeout_s=TIMEOUT_S, on_stage=lambda _: None, python=python)
    if outcome.status is not Status.ok:
        who = "The CUDA device" if python is None else f"The vigbench of {python}"
        raise ValueError(f"{who} cannot be described: {outcome.reason}")
    described: dict[str, Any] = json.loads(outcome.description)
    return described
