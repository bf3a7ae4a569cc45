"""A session's steps as a page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MACHINE = ("device", "driver", "torch", "triton", "python", "commit")
SHOWN_FAILURES = 100
FOOTER = """
## What is here

* `check.json`: every implementation against float64; `failures/`: one JSON object a line, with the traceback
* `runs/`: the suites, `vigbench report <run>` shows one
* `tuned.json`: the package's table of kernel settings with what this GPU adds. To use it:
  `cp <this folder>/tuned.json vigbench/ops/gla/kernels/tuned.json`, then measure again
* `logs/`: what every step printed; git leaves them out, commit the rest
"""


class Status(StrEnum):
    """What became of a step."""

    waiting = "waiting"
    running = "running"
    passed = "passed"
    failed = "failed"
    timeout = "timeout"
    stopped = "stopped"
    interrupted = "interrupted"
    not_run = "not run"


MEANING = {
    Status.waiting: "its turn had not come",
    Status.running: "it was running when this was written; if the session is gone, it was killed in this step",
    Status.failed: "its process said so by its exit code",
    Status.timeout: "it was not done when its time was over",
    Status.stopped: "its time was over; what it had found by then is kept",
    Status.interrupted: "the session was asked to stop",
    Status.not_run: "no time was left",
}
GOOD = (Status.passed, Status.stopped)


@dataclass(frozen=True)
class Row:
    """One step: seconds it took and could have taken, its exit code, and the last lines that it printed."""

    status: Status
    seconds: float = 0.0
    limit_s: float | None = None
    exit_code: int | None = None
    said: list[str] = field(default_factory=list)


def as_markdown(
    machine: Mapping[str, Any], rows: Mapping[str, Row], failures: Mapping[str, Sequence[Mapping[str, Any]]]
) -> str:
    """The page.

    Args:
        machine: `MACHINE` -> text.
        rows: steps by name.
        failures: those of each step, as its file of failures has them.
    """
    lines = ["# GPU session", "", *(f"* {name}: {machine.get(name)}" for name in MACHINE), ""]
    lines += ["| step | status | seconds | limit | failures |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        limit = "" if row.limit_s is None else f"{row.limit_s:.0f}"
        lines.append(f"| {name} | {row.status} | {row.seconds:.0f} | {limit} | {len(failures.get(name, ())) or ''} |")
    there = {row.status for row in rows.values()}
    lines += ["", *(f"* {status}: {meaning}" for status, meaning in MEANING.items() if status in there)]
    for name, row in rows.items():
        if row.status not in GOOD and row.said:
            lines += ["", f"Last lines of {name}:", "", *(f"    {line}" for line in row.said)]
    found = [f"* {step}: `{one['id']}`: {_first_line(one['error'])}" for step in failures for one in failures[step]]
    if found:
        lines += ["", "## Failures", "", *found[:SHOWN_FAILURES]]
    if len(found) > SHOWN_FAILURES:
        lines.append(f"* {len(found) - SHOWN_FAILURES} more in `failures/`")
    return "\n".join(lines) + "\n" + FOOTER


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
