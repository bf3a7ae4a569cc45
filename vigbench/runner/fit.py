"""Inside the worker: does a case fit in memory? One iteration, no timing."""

from __future__ import annotations

import torch

from vigbench.measure.memory import MIB
from vigbench.measure.settings import apply_settings
from vigbench.records.schema import Status
from vigbench.runner.failures import guarded
from vigbench.runner.messages import Outcome
from vigbench.runner.prepare import operator_of
from vigbench.runner.subject import build_on_device, iteration, make_inputs
from vigbench.suites.case import Case, Phase


def fit_case(case: Case, memory_limit_mib: float | None) -> Outcome:
    """Run one iteration (two training steps): `ok` if it fits, else the status that says why not.

    Args:
        case: what to run.
        memory_limit_mib: MiB that the process may use on a CUDA device; None: all. (The worker caps a CPU's.)
    """

    def fit() -> Outcome:
        operator = operator_of(case)
        apply_settings(threads=case.threads, tf32=case.tf32)
        if case.device == "cuda" and memory_limit_mib is not None:
            total = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, memory_limit_mib * MIB / total))
        call, synchronize = iteration(build_on_device(case), case, make_inputs(case))
        call()
        if case.phase is Phase.training_step:  # the optimiser's state, made by the first step, lies beside the second
            call()
        synchronize()
        return Outcome(status=Status.ok, operator=operator)

    return guarded(case, fit)
