"""The device's ceilings for a run of operators: measured once, each in a fresh worker, and kept in the environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from vigbench.records.schema import Status
from vigbench.runner.process import run_in_worker
from vigbench.subjects.catalog import task_of
from vigbench.suites.case import Case
from vigbench.worker.messages import Errand, Job

TIMEOUT_S = 120.0


def measure_ceilings(cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """`copy_gb_per_s` and `product_tflop_per_s` by `Case.arithmetic`, for those cases whose task says what a call has
    to move: operators.

    What cannot be measured is left out and said on stderr; then its shares stay empty.
    """
    wanted = {case.arithmetic: case for case in cases if task_of(case.subject).bytes_moved(case)}
    found: dict[str, dict[str, float]] = {}
    for name, case in wanted.items():
        job = Job(case=case, errand=Errand.ceilings)
        outcome = run_in_worker(job, timeout_s=TIMEOUT_S, on_stage=lambda _: None)
        if outcome.status is Status.ok:
            found[name] = json.loads(outcome.description)
        else:
            print(f"vigbench: the ceilings in {name} could not be measured: {outcome.reason}", file=sys.stderr)
    return found
