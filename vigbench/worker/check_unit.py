"""One implementation of an operator in one precision, checked against float64: what `vigbench check` runs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import torch

from vigbench.measure.operator_check import check_implementation
from vigbench.ops.registry import get_implementation, get_operator
from vigbench.records.schema import Status
from vigbench.suites.case import Case
from vigbench.worker.build import apply_case_settings
from vigbench.worker.messages import Outcome

NOT_REPEATED = "the same inputs gave other bits the second time"


@dataclass(frozen=True)
class Unit:
    """What one process checks."""

    operator: str
    implementation: str
    precision: str

    @property
    def name(self) -> str:
        """operator/implementation/precision."""
        return f"{self.operator}/{self.implementation}/{self.precision}"


def check_here(case: Case, argument: str) -> Outcome:
    """One unit, as JSON in `argument`, on the case's device; the description is part of a row."""
    apply_case_settings(case)
    unit = Unit(**json.loads(argument))
    implementation = get_implementation(unit.operator, unit.implementation)
    device = torch.device(case.device.value)
    found = check_implementation(get_operator(unit.operator), implementation, unit.precision, device)
    reasons = [f"{sample}: {reason}" for sample, reason in found.refused.items()]
    status = Status.ok
    if not found.passed:
        status = Status.wrong_result
    elif implementation.repeatable and not found.repeats:
        status, reasons = Status.wrong_result, [NOT_REPEATED, *reasons]
    told = {
        "error": found.error if math.isfinite(found.error) else None,
        "allowed": found.allowed,
        "where": found.where,
        "samples": found.samples,
    }
    return Outcome(status=status, reason="; ".join(reasons), description=json.dumps(told))
