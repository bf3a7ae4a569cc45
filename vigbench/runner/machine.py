"""The machine as a run describes it, asked by a process of its own where asking would leave something behind."""

from __future__ import annotations

import json
from typing import Any

from vigbench.measure.environment import describe_environment, device_name
from vigbench.records.schema import Status
from vigbench.runner.executor import run_in_worker
from vigbench.runner.messages import Job, Task
from vigbench.suites.case import Case

TIMEOUT_S = 120.0


def describe_machine(case: Case) -> tuple[str, dict[str, Any]]:
    """The name of the case's device, and the environment (see `describe_environment`).

    On CUDA a worker asks: a context of the coordinator would stay on the GPU beside every case, with its memory.

    Raises:
        ValueError: if the device cannot be asked.
    """
    if case.device != "cuda":
        return device_name(case.device, case.threads), describe_environment(case.device, case.threads)
    outcome = run_in_worker(Job(case=case, task=Task.describe), timeout_s=TIMEOUT_S, on_stage=lambda _: None)
    if outcome.status is not Status.ok:
        raise ValueError(f"The CUDA device cannot be described: {outcome.reason}")
    name, environment = json.loads(outcome.description)
    return name, environment
