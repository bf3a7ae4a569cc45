"""What `run.json` says of the runs on a page: one, or several side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigbench.analysis.table import printable
from vigbench.report.metrics import BANDWIDTH, COMPUTE, PLOTTED, Metric, number
from vigbench.report.names import Info, device_of, run_of
from vigbench.report.rows import Row


@dataclass(frozen=True)
class RunWords:
    """What is said of the runs.

    Attributes:
        source: device and run, for every picture.
        when: when they were measured.
        states: what is missing from each.
        ceilings: what their devices reach at best, by metric.
    """

    source: str
    when: str
    states: Sequence[str]
    ceilings: Mapping[str, Sequence[str]]


def about_runs(cases: Sequence[Row], infos: Sequence[Info]) -> RunWords:
    """All that is said of the runs of these cases."""
    counts = Counter(row["run"] for row in cases)
    known = {metric.column: ceilings(metric, infos) for metric in PLOTTED}
    return RunWords(source(infos), when(infos), states(counts, infos), known)


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


def states(cases: Mapping[str, int], infos: Sequence[Info]) -> list[str]:
    """What is missing from each run, of which there are so many cases; empty where nothing is."""
    found = []
    for info in infos:
        own = sum(cases.values()) if len(infos) == 1 else cases.get(str(info.get("run")), 0)
        name = "This run" if len(infos) == 1 else f"Run {run_of(info)}"
        planned = info.get("planned_cases") or 0
        have = f"{own} of {planned} planned cases" if planned else f"{own} cases"
        if not info.get("finished_at"):
            found.append(f"{name} is not finished: {have} are recorded so far.")
        elif planned > own:
            found.append(f"{name} ended early: {have} are recorded.")
    return found


def ceilings(metric: Metric, infos: Sequence[Info]) -> list[str]:
    """What each device reaches at best in this metric, as measured at the start of its run."""
    result = []
    for info in infos:
        found: Mapping[str, Mapping[str, float]] = (info.get("environment") or {}).get("ceilings") or {}
        where = "on this device" if len(infos) == 1 else f"on {device_of(info)} in run {run_of(info)}"
        if metric == BANDWIDTH and found:
            best = max(reached["copy_gb_per_s"] for reached in found.values())
            result.append(f"A large copy reaches {number(best)} GB/s {where}.")
        if metric == COMPUTE and found:
            rates = ", ".join(
                f"{number(reached['product_tflop_per_s'])} TFLOP/s in {name}" for name, reached in found.items()
            )
            result.append(f"A large matrix product reaches {rates} {where}.")
    return result
