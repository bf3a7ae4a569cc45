"""A whole run: plan, folder, cases, and the command that continues it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from vigbench.interrupt import StopRequest
from vigbench.records.files import starting_in
from vigbench.records.fingerprint import fingerprint, resume_differences
from vigbench.records.schema import first_mistake
from vigbench.records.store import RunStore
from vigbench.runner import fork_server
from vigbench.runner.budget import Budget
from vigbench.runner.check import unchecked_line, used_by
from vigbench.runner.coordinator import Coordinator, Progress, Silent
from vigbench.runner.machine import describe_machine, measure_ceilings
from vigbench.runner.max_batch import BatchLimits
from vigbench.runner.survey import estimated_s, facts_of, gmacs_of, survey
from vigbench.subjects.catalog import (
    matching_implementations,
    require_offered,
    resolve_implementations,
    task_of,
    usual_resolution_of,
)
from vigbench.subjects.factory import in_one_line
from vigbench.subjects.own import is_own
from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.suites.custom import NAME as CUSTOM
from vigbench.suites.custom import custom_suite
from vigbench.suites.loader import list_suites, load_suite
from vigbench.suites.planner import Overrides, Plan, places, plan
from vigbench.suites.resolution import Resolution
from vigbench.suites.schema import Suite
from vigbench.worker.describe import choose_device


def plan_suite(suite: str | Path | None, device: str = "auto", overrides: Overrides | None = None) -> Plan:
    """The cases of a suite on this machine; measures nothing. Raises ValueError for anything unknown."""
    return _plan(_definition(suite, overrides), choose_device(device, planning=True), overrides)


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run."""

    folder: Path

    @property
    def store(self) -> RunStore:
        """Its files."""
        return RunStore.open(self.folder)


def start_run(
    suite: str | Path | None,
    *,
    out: str | Path = "results",
    device: str = "auto",
    overrides: Overrides | None = None,
    command_line: Sequence[str] | None = None,
) -> tuple[RunStore, Plan]:
    """Plan a suite and make its folder; `continue_run` does the measuring."""
    fork_server.start()
    definition, planned = plan_for(suite, device, overrides)
    info = describe_run(
        definition,
        planned,
        list(command_line if command_line is not None else sys.argv),
        shipped=str(suite) in list_suites(),
    )
    if info["device"] == "cuda" and (
        line := unchecked_line(info["device_name"], info["environment"], used_by(planned.cases))
    ):
        print(f"vigbench: {line}", file=sys.stderr)
    if ceilings := measure_ceilings([case for case in planned.cases if facts_of(case).bytes_moved]):
        info["environment"] = {**info["environment"], "ceilings": ceilings}
    return _create_folder(Path(out), info), planned


def plan_for(suite: str | Path | None, device: str = "auto", overrides: Overrides | None = None) -> tuple[Suite, Plan]:
    """The suite and its plan for a device that is here. Raises ValueError for anything unknown."""
    definition = _definition(suite, overrides)
    return definition, _plan(definition, choose_device(device), overrides)


def _definition(suite: str | Path | None, overrides: Overrides | None) -> Suite:
    """The suite of that name or file; without one, that of the subjects in `overrides`."""
    return load_suite(suite) if suite else custom_suite(overrides or Overrides(), usual_resolution_of)


def _plan(definition: Suite, device: Device, overrides: Overrides | None) -> Plan:
    overrides = overrides or Overrides()
    section = overrides.applied_to(definition.section(device))
    # without a suite file there is no list to choose from: what is named is what is asked for
    named = overrides.implementation if definition.name == CUSTOM else None
    if named is not None:
        overrides = overrides.but_for("implementation")
        require_offered([(entry.name, entry.args) for entry in definition.subjects], named, device)

    def resolve(subject: str, requested: Sequence[str], device: Device, args: str) -> list[str]:
        if not is_own(subject):
            task_of(subject).require_axes(subject, section.sized_by())
        if named is not None:
            return matching_implementations(subject, named, device, args)
        return resolve_implementations(subject, requested, device, args)

    planned = plan(definition, device, resolve, overrides)
    survey(planned.cases, planned.case_timeout_s)
    return planned


def describe_run(definition: Suite, planned: Plan, command_line: list[str], *, shipped: bool = True) -> dict[str, Any]:
    """What run.json holds: all that is needed to continue the run, and to judge whether it still can be.

    Args:
        definition: the suite.
        planned: its cases and limits.
        command_line: that started the run.
        shipped: whether the suite is one of vigbench's own, not a file of the user's.
    """
    info = {
        "run": "",
        "suite": definition.name,
        "question": definition.question,
        **describe_machine(planned.cases[0]),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "finished_at": None,
        "command_line": command_line,
        "planned_cases": len(planned.cases),
        "budget_s": planned.budget_s,
        "case_timeout_s": planned.case_timeout_s,
        "processes": planned.processes,
        "calibrate": planned.calibrate,
        "shipped_suite": shipped,
        "suite_definition": definition.model_dump(mode="json"),
        "cases": [case.model_dump(mode="json") for case in planned.cases],
    }
    return {**info, "fingerprint": fingerprint(info)}


def _create_folder(out: Path, info: dict[str, Any]) -> RunStore:
    device = info["device_name"] if info["device"] != Device.cpu else "cpu"
    label = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    name = f"{info['suite']}-{label}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with starting_in(out):
        return RunStore.create_unique(out, name, info)


def resume_plan(folder: str | Path, overrides: Overrides | None = None) -> tuple[RunStore, Plan]:
    """The store and the plan of an earlier run, to be continued; `overrides` may set new time limits.

    Raises:
        ValueError: if the folder is no run, or was made by an incompatible version, or if suite, code or environment
            are no longer those with which it was started.
    """
    store = RunStore.open(Path(folder))
    info = store.info()
    limits = overrides or Overrides()
    try:
        planned = Plan(
            cases=tuple(Case.model_validate(case) for case in info["cases"]),
            budget_s=limits.budget or info["budget_s"],
            case_timeout_s=limits.case_timeout or info["case_timeout_s"],
            processes=info.get("processes", 1),
            calibrate=info.get("calibrate", False),
        )
        definition = Suite.model_validate(info["suite_definition"])
        info["suite_definition"] = definition.model_dump(mode="json")  # in the words of today
    except (KeyError, TypeError, ValueError) as error:
        said = first_mistake(error) if isinstance(error, ValidationError) else in_one_line(error)
        raise ValueError(f"{store.info_file} does not hold the plan of a run: {said}") from error
    if info.get("shipped_suite") and definition.name in list_suites():
        definition = load_suite(definition.name)  # as it is now; a file of the user's own stays as recorded
    _require_unchanged(store, info, describe_run(definition, planned, []))
    survey(planned.cases, planned.case_timeout_s)  # it may be resumed from another folder than that of the start
    return store, planned


def _require_unchanged(store: RunStore, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if changed := resume_differences(then, now):
        named = "; ".join(
            f"{name}: {before or 'unknown'} then, {after or 'none'} now" for name, (before, after) in changed.items()
        )
        raise ValueError(
            f"{store.folder} cannot be continued, since its records would no longer compare: {named}. Go back to what "
            "it was, or start a new run."
        )


def continue_run(
    store: RunStore,
    planned: Plan,
    progress: Progress | None = None,
    *,
    stop: StopRequest | None = None,
    batch_limits: BatchLimits | None = None,
) -> bool:
    """Measure what is missing, then mark the run as finished; returns whether it is.

    Args:
        progress: told how it goes on.
        stop: ends the run after the current case once a stop is requested.
        batch_limits: also finds the largest batch of each case.

    Raises:
        ValueError: if another process writes to this run.
        StorageError: if the folder cannot be written; the message says where the last record is.
    """
    gmacs = {case: case.batch_size * gmacs_of(case) for case in planned.cases}
    budget = Budget(
        planned.budget_s,
        lambda case: estimated_s(case, planned.processes),
        gmacs.__getitem__,
        planned.processes,
        places(planned.cases),
    )
    stop = stop or StopRequest()
    with store.lock() as problem, _folder_for_references() as references:
        if problem:
            print(f"vigbench: {problem}", file=sys.stderr)
        store.prepare()
        ceilings = (store.info().get("environment") or {}).get("ceilings") or {}
        largest_batch = None if batch_limits is None else batch_limits.of
        Coordinator(
            store, planned, budget, progress or Silent(), stop, facts_of, largest_batch, ceilings, references
        ).run()
        finished = {record.case_id for record in store.records()} >= {case.case_id for case in planned.cases}
        if finished:
            store.write_info({**store.info(), "finished_at": datetime.now(UTC).isoformat(timespec="seconds")})
    return finished


@contextmanager
def _folder_for_references() -> Iterator[str | None]:
    """A folder that is gone when the run ends; None where there is no place for temporary files."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(TemporaryDirectory(prefix="vigbench-", ignore_cleanup_errors=True))
        except OSError:
            folder = None
        yield folder


def run(
    suite: str | Path | None = None,
    out: str | Path = "results",
    device: str = "auto",
    *,
    subject: str | Sequence[str] | None = None,
    resolution: Resolution | Sequence[Resolution] | None = None,
    overrides: Overrides | None = None,
) -> Run:
    """Run a suite on this machine and return its folder; see `vigbench run --help` for the same from a shell.

    Args:
        suite: name of a shipped suite, or a path to a suite file; None: the subjects that are named, see
            `suites/custom.py` for its settings.
        out: folder in which the run's folder is made.
        device: auto, cpu or cuda.
        subject: the subjects to measure, instead of all of the suite: a name, or several.
        resolution: side of the images in px, or `224x320` (height x width), instead of the suite's: one, or several.
        overrides: replacements for all axes and limits.

    Raises:
        ValueError: for an unknown suite, subject or setting, or a folder that cannot be written.
    """
    overrides = overrides or Overrides()
    if subject is not None:
        overrides = overrides.model_copy(update={"subject": [subject] if isinstance(subject, str) else list(subject)})
    if resolution is not None:
        sizes = [resolution] if isinstance(resolution, int | str) else list(resolution)
        overrides = overrides.model_copy(update={"resolution": sizes})
    store, planned = start_run(suite, out=out, device=device, overrides=overrides)
    continue_run(store, planned)
    return Run(store.folder)
