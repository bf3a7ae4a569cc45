"""The device's ceilings for a run of operators: measured once, each in a fresh worker, and kept in the environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import torch

from vigbench.measure.ceilings import copy_gb_per_s, product_tflop_per_s
from vigbench.measure.settings import DTYPES, apply_settings
from vigbench.records.schema import Status
from vigbench.runner.executor import run_in_worker
from vigbench.runner.messages import Job, Task
from vigbench.suites.case import Case

TIMEOUT_S = 120.0


def ceiling_name(case: Case) -> str:
    """What the arithmetic ceiling depends on: the precision, or `tf32`."""
    return "tf32" if case.tf32 and case.precision == "float32" else case.precision.value


def measure_ceilings(cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """`copy_gb_per_s` and `product_tflop_per_s` by `ceiling_name`, for the operators among the cases.

    What cannot be measured is left out and said on stderr; then its shares stay empty.
    """
    wanted = {ceiling_name(case): case for case in cases if case.is_operator}
    found: dict[str, dict[str, float]] = {}
    for name, case in wanted.items():
        job = Job(case=case, task=Task.ceilings)
        outcome = run_in_worker(job, timeout_s=TIMEOUT_S, on_stage=lambda _: None)
        if outcome.status is Status.ok:
            found[name] = json.loads(outcome.description)
        else:
            print(f"vigbench: the ceilings in {name} could not be measured: {outcome.reason}", file=sys.stderr)
    return found


def ceilings_here(case: Case) -> dict[str, Any]:
    """The ceilings of the case's device, threads and precision, measured in this process."""
    apply_settings(threads=case.threads, tf32=case.tf32)
    device = torch.device(case.device.value)
    return {
        "copy_gb_per_s": copy_gb_per_s(device),
        "product_tflop_per_s": product_tflop_per_s(device, DTYPES[case.precision]),
    }
