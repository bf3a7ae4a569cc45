"""The machine as a run describes it, and what it can do at most: asked by processes of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from vigbench.records.schema import Status
from vigbench.runner.process import run_in_worker
from vigbench.suites.case import Case
from vigbench.worker.describe import describe_here
from vigbench.worker.messages import Errand, Job

TIMEOUT_S = 120.0


def describe_machine(case: Case, python: str | None = None) -> dict[str, Any]:
    """What `worker.describe.describe_here` says, without leaving anything behind here.

    On CUDA a worker is asked: a context of the coordinator would stay on the GPU beside every case, with its memory.

    Args:
        case: its device is described.
        python: interpreter of another environment to ask; None: this one.

    Raises:
        ValueError: if there is no answer.
    """
    if python is None and case.device != "cuda":
        return describe_here(case)
    job = Job(case=case, errand=Errand.describe)
    outcome = run_in_worker(job, timeout_s=TIMEOUT_S, on_stage=lambda _: None, python=python)
    if outcome.status is not Status.ok:
        who = "The CUDA device" if python is None else f"The vigbench of {python}"
        raise ValueError(f"{who} cannot be described: {outcome.reason}")
    described: dict[str, Any] = json.loads(outcome.description)
    return described


def measure_ceilings(cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """`copy_gb_per_s` and `product_tflop_per_s` by `Case.arithmetic`, for cases of which is known what a call has to
    move: operators.

    What cannot be measured is left out and said on stderr; then its shares stay empty.
    """
    wanted = {case.arithmetic: case for case in cases}
    found: dict[str, dict[str, float]] = {}
    for name, case in wanted.items():
        job = Job(case=case, errand=Errand.ceilings)
        outcome = run_in_worker(job, timeout_s=TIMEOUT_S, on_stage=lambda _: None)
        if outcome.status is Status.ok:
            found[name] = json.loads(outcome.description)
        else:
            print(f"vigbench: the ceilings in {name} could not be measured: {outcome.reason}", file=sys.stderr)
    return found
