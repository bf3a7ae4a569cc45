"""A whole run: plan, folder, cases, and the command that continues it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from vigbench.measure.cost import count_cost
from vigbench.measure.environment import describe_environment, device_name
from vigbench.measure.settings import default_threads
from vigbench.models.catalog import build_on_meta, build_subject, resolve_implementations
from vigbench.records.schema import PROTOCOL
from vigbench.records.store import RunStore
from vigbench.runner.budget import Budget
from vigbench.runner.coordinator import Progress, Silent, run_cases
from vigbench.suites.case import Case, Device
from vigbench.suites.loader import load_suite
from vigbench.suites.planner import Overrides, Plan, estimate_s, plan

UNKNOWN_GMACS = 5.0  # for the estimate alone, where a subject cannot be counted


def choose_device(device: str, *, planning: bool = False) -> Device:
    """`auto` is cuda where torch sees a device, else cpu; planning for a device that is not here is fine.

    Raises:
        ValueError: for another name, or cuda where there is none.
    """
    if device == "auto":
        return Device.cuda if torch.cuda.is_available() else Device.cpu
    if device not in Device.__members__:
        raise ValueError(f"--device {device!r} is not allowed; choose auto, cpu or cuda.")
    if device == "cuda" and not planning and not torch.cuda.is_available():
        raise ValueError(
            "--device cuda: torch sees no CUDA device here; run `vigbench doctor`, or choose --device cpu."
        )
    return Device(device)


def plan_suite(suite: str | Path, device: str = "auto", overrides: Overrides | None = None) -> Plan:
    """The cases of a suite on this machine; measures nothing. Raises ValueError for anything unknown."""
    return plan(load_suite(suite), choose_device(device, planning=True), resolve_implementations, overrides)


@lru_cache(maxsize=1024)
def gmacs_per_image(subject: str, implementation: str, resolution: int) -> float:
    """10^9 multiply-adds of one forward pass, for estimates; a guess where the subject cannot be counted."""
    try:
        model = build_on_meta(lambda: build_subject(subject, implementation, resolution))
        return count_cost(model, (1, 3, resolution, resolution)).macs / 1e9
    except Exception:  # the worker will say what is wrong with it; an estimate must not stop the plan
        return UNKNOWN_GMACS


def estimated_s(case: Case) -> float:
    """Seconds that a case may take on this machine, see `planner.estimate_s`."""
    gmacs = gmacs_per_image(case.subject, case.implementation, case.resolution)
    return estimate_s(case, gmacs, case.threads or default_threads())


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run."""

    folder: Path

    @property
    def store(self) -> RunStore:
        """Its files."""
        return RunStore.open(self.folder)


def start_run(
    suite: str | Path,
    *,
    out: str | Path = "results",
    device: str = "auto",
    overrides: Overrides | None = None,
    command_line: Sequence[str] | None = None,
) -> tuple[RunStore, Plan]:
    """Plan a suite and make its folder; `continue_run` does the measuring."""
    chosen = choose_device(device)
    definition = load_suite(suite)
    planned = plan(definition, chosen, resolve_implementations, overrides)
    threads = planned.cases[0].threads
    now = datetime.now(UTC)
    info = {
        "run": "",
        "suite": definition.name,
        "question": definition.question,
        "protocol": PROTOCOL,
        "device": chosen.value,
        "device_name": device_name(chosen, threads),
        "started_at": now.isoformat(timespec="seconds"),
        "finished_at": None,
        "command_line": list(command_line if command_line is not None else sys.argv),
        "planned_cases": len(planned.cases),
        "budget_s": planned.budget_s,
        "case_timeout_s": planned.case_timeout_s,
        "environment": describe_environment(chosen, threads),
        "suite_definition": definition.model_dump(mode="json"),
        "cases": [case.model_dump(mode="json") for case in planned.cases],
    }
    store = _create_folder(Path(out), definition.name, chosen, now, info)
    return store, planned


def _create_folder(out: Path, suite: str, device: Device, now: datetime, info: dict[str, Any]) -> RunStore:
    label = "cpu" if device is Device.cpu else re.sub(r"[^a-z0-9]+", "-", info["device_name"].lower()).strip("-")
    name = f"{suite}-{label}-{now:%Y%m%d-%H%M%S}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        return RunStore.create(out / name, {**info, "run": name})
    except OSError as error:
        raise ValueError(f"Cannot write to {out}: {error.strerror}. Choose another folder with --out.") from error


def resume_plan(folder: str | Path, overrides: Overrides | None = None) -> tuple[RunStore, Plan]:
    """The store and the plan of an earlier run, to be continued; `overrides` may set new time limits.

    Raises:
        ValueError: if the folder is no run, or was made by an incompatible version.
    """
    store = RunStore.open(Path(folder))
    info = store.info()
    try:
        cases = tuple(Case.model_validate(case) for case in info["cases"])
        limits = overrides or Overrides()
        return store, Plan(cases, limits.budget or info["budget_s"], limits.case_timeout or info["case_timeout_s"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{store.info_file} does not hold the plan of a run: {error}") from error


def continue_run(store: RunStore, planned: Plan, progress: Progress | None = None) -> None:
    """Measure what is missing, then mark the run as finished."""
    budget = Budget(planned.budget_s, estimated_s, lambda case: case.batch_size * _gmacs(case))
    run_cases(store, planned.cases, budget=budget, case_timeout_s=planned.case_timeout_s, progress=progress or Silent())
    store.write_info({**store.info(), "finished_at": datetime.now(UTC).isoformat(timespec="seconds")})


def _gmacs(case: Case) -> float:
    return gmacs_per_image(case.subject, case.implementation, case.resolution)


def run(
    suite: str | Path, out: str | Path = "results", device: str = "auto", *, overrides: Overrides | None = None
) -> Run:
    """Run a suite on this machine and return its folder; see `vigbench run --help` for the same from a shell.

    Args:
        suite: name of a shipped suite, or a path to a suite file.
        out: folder in which the run's folder is made.
        device: auto, cpu or cuda.
        overrides: replacements for axes and limits.

    Raises:
        ValueError: for an unknown suite, subject or setting, or a folder that cannot be written.
    """
    store, planned = start_run(suite, out=out, device=device, overrides=overrides)
    continue_run(store, planned)
    return Run(store.folder)
