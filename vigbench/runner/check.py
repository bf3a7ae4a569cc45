"""Checks operators' implementations side by side, each in its own process: one that breaks the device ends alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from vigbench.measure.operator_check import PRECISIONS
from vigbench.nearest import did_you_mean, one_of
from vigbench.ops.registry import get_implementation, list_operators
from vigbench.records.checks import checked_here, unchecked
from vigbench.records.schema import Status
from vigbench.runner.process import run_in_worker
from vigbench.subjects.catalog import describe
from vigbench.subjects.own import is_own
from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.worker.check_unit import Unit
from vigbench.worker.messages import Errand, Job

TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Row(Unit):
    """What came of a unit.

    Attributes:
        status: `ok`, `wrong_result`, `unsupported`, `crashed`, `timeout`, `error` or `out_of_memory`.
        reason: why it did not pass, or what of it could not be computed.
        error: the error nearest to or farthest beyond its bound, relative to the largest value; None where there is
            none, or where a value is not finite (then `where` says which).
        allowed: that bound.
        where: the tensor and the sample with that error.
        samples: calls that were compared.
        seconds: with the start of the process.
    """

    status: Status
    reason: str
    error: float | None = None
    allowed: float | None = None
    where: str = ""
    samples: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether this is more than something that cannot run here."""
        return self.status not in (Status.ok, Status.unsupported)

    @property
    def error_text(self) -> str:
        """The error for people."""
        return "not finite" if self.error is None else f"{self.error:.1e}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "status": self.status.value}


def units(
    operators: Sequence[str] | None = None,
    implementations: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
) -> list[Unit]:
    """Every combination that is asked for; None is all. ValueError for a name that does not exist."""
    every = list_operators()
    _require("--operator", operators, [operator.name for operator in every])
    _require("--implementation", implementations, sorted({name for operator in every for name in operator.names}))
    _require("--precision", precisions, list(PRECISIONS))
    return [
        Unit(operator.name, name, precision)
        for operator in every
        if operators is None or operator.name in operators
        for name in operator.names
        if implementations is None or name in implementations
        for precision in PRECISIONS
        if precisions is None or precision in precisions
    ]


def check(wanted: Sequence[Unit], device: Device, jobs: int) -> Iterator[Row]:
    """A row for each unit, as soon as it is there.

    Args:
        wanted: what to check.
        device: where.
        jobs: processes side by side.
    """
    open_units = []
    for unit in wanted:
        implementation = get_implementation(unit.operator, unit.implementation)
        if reason := implementation.unsupported_reason(device.value, PRECISIONS[unit.precision]):
            yield Row(**asdict(unit), status=Status.unsupported, reason=reason)
        else:
            open_units.append(unit)
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        pending = [pool.submit(_check_in_worker, unit, device) for unit in open_units]
        try:
            for done in as_completed(pending):
                yield done.result()
        finally:
            for future in pending:
                future.cancel()


def used_by(cases: Iterable[Case]) -> set[str]:
    """operator/implementation/precision of what these cases run, as far as it can be checked."""
    names = {unit.name for unit in units()}
    found = set()
    for case in cases:
        operator = None if is_own(case.subject) else describe(case.subject, case.args).operator
        found.add(f"{operator}/{case.implementation}/{case.precision}")
    return found & names


def unchecked_line(device_name: str, environment: Mapping[str, Any], wanted: Iterable[str]) -> str | None:
    """What of it has never passed a check with this device and these versions, for people; None if all has."""
    missing = unchecked(checked_here(device_name, environment), wanted)
    if not missing:
        return None
    return (
        f"Not checked with this device, driver and versions: {', '.join(missing)}. "
        "Run `vigbench check` once; it takes a minute."
    )


def carrier(device: Device) -> Case:
    """A case for a worker that checks: it says the device, and a thread for each process, and is not measured."""
    return Case(subject="gla", length=1, heads=1, key_dim=16, value_dim=16, device=device, threads=1)


def _check_in_worker(unit: Unit, device: Device) -> Row:
    begin = perf_counter()
    job = Job(case=carrier(device), errand=Errand.check, argument=json.dumps(asdict(unit)))
    outcome = run_in_worker(job, timeout_s=TIMEOUT_S, on_stage=lambda _: None)
    told = json.loads(outcome.description or "{}")
    seconds = perf_counter() - begin
    return Row(**asdict(unit), status=outcome.status, reason=outcome.reason, seconds=seconds, **told)


def _require(option: str, given: Sequence[str] | None, allowed: Sequence[str]) -> None:
    for name in given or ():
        if name not in allowed:
            raise ValueError(
                f"{option} {name!r} is unknown{did_you_mean(name, allowed)} Choose from {one_of(allowed)}."
            )
