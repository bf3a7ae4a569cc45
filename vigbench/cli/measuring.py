"""Measuring a run from a shell, for every command that does: progress, Ctrl-C, and what to type to go on."""

from __future__ import annotations

import sys
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vigbench.records.store import RunStore
    from vigbench.runner.max_batch import BatchLimits
    from vigbench.suites.planner import Plan


def measure(
    store: RunStore, planned: Plan, quiet: bool, *, limits: BatchLimits | None = None, options: str = "", then: str = ""
) -> bool:
    """Measure what a run lacks, and say how far it is; True unless interrupted.

    Args:
        store: the run.
        planned: its cases and limits.
        quiet: one plain line a case.
        limits: also finds the largest batch of each case.
        options: of `vigbench run --resume`, for whoever interrupts.
        then: a command that comes after that.
    """
    from vigbench.cli.progress import show_run
    from vigbench.interrupt import StopRequest
    from vigbench.runner.run import continue_run

    try:
        with StopRequest() as stop, show_run(quiet) as progress:
            finished = continue_run(store, planned, progress, stop=stop, batch_limits=limits)
    except KeyboardInterrupt:
        finished = False
    if not finished:
        again = f"vigbench run --resume {quote(str(store.folder))}{options}{then and f', then {then}'}"
        print(f"Interrupted; nothing measured is lost. Continue with: {again}", file=sys.stderr)
    return finished


def command_line() -> list[str]:
    """What was typed, for the record."""
    return ["vigbench", *sys.argv[1:]]
