"""What `run.json` says of the runs on a page: one, or several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vigbench.analysis.table import printable
from vigbench.report.rows import Row

Info = Mapping[str, Any]


def as_infos(run_infos: Info | Sequence[Info]) -> list[Info]:
    """One run's `run.json`, or those of several, as a list."""
    return [run_infos] if isinstance(run_infos, Mapping) else list(run_infos)


def device_of(info: Info) -> str:
    """The device by name."""
    return printable(str(info.get("device_name") or info.get("device") or "unknown device"))


def run_of(info: Info) -> str:
    """The run's name."""
    return printable(str(info.get("run") or ""))


def source(infos: Sequence[Info]) -> str:
    """Device and run, for every picture; several runs of one device name it once."""
    devices = list(dict.fromkeys(map(device_of, infos)))
    if len(devices) == 1:
        return f"{devices[0]} · {'runs' if len(infos) > 1 else 'run'} {', '.join(map(run_of, infos))}"
    return "; ".join(f"{device_of(info)} · run {run_of(info)}" for info in infos)


def when(infos: Sequence[Info]) -> str:
    """The start, to the minute; of several runs the first and the last."""
    found = sorted(text for info in infos if (text := str(info.get("started_at") or "")[:16]))
    ends = dict.fromkeys([found[0], found[-1]]) if found else {}
    return printable(" to ".join(text.replace("T", " ") for text in ends) + " UTC") if ends else "no date"


def states(rows: Sequence[Row], infos: Sequence[Info]) -> list[str]:
    """What is missing from each run; empty where nothing is."""
    found = []
    for info in infos:
        own = len(rows) if len(infos) == 1 else sum(row["run"] == info.get("run") for row in rows)
        name = "This run" if len(infos) == 1 else f"Run {run_of(info)}"
        planned = info.get("planned_cases") or 0
        have = f"{own} of {planned} planned cases" if planned else f"{own} cases"
        if not info.get("finished_at"):
            found.append(f"{name} is not finished: {have} are recorded so far.")
        elif planned > own:
            found.append(f"{name} ended early: {have} are recorded.")
    return found
