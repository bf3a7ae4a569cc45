"""What a person sees while a run goes on: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from vigbench.records.schema import Record, Status
from vigbench.runner.coordinator import Progress as RunProgress
from vigbench.runner.coordinator import Silent
from vigbench.suites.case import Case
from vigbench.suites.duration import format_duration


@contextmanager
def make_progress(quiet: bool) -> Iterator[RunProgress]:
    """A bar on a terminal, plain lines where quiet or not on one."""
    if quiet or not sys.stderr.isatty():
        yield Lines()
        return
    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar)


class Lines(Silent):
    """One line on stdout for each case that ends."""

    def case_started(self, case: Case, number: int, total: int, remaining_s: float) -> None:  # noqa: ARG002
        """Remember the position."""
        self.position = f"[{number}/{total}]"

    def case_ended(self, record: Record) -> None:
        """The case's line."""
        print(f"{self.position} {summary(record)}", flush=True)


class Bar:
    """A bar with the running case, its stage, elapsed and remaining time; finished cases scroll above it."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.task: TaskID | None = None
        self.case = ""

    def case_started(self, case: Case, number: int, total: int, remaining_s: float) -> None:
        """Show the case and the time left."""
        self.case = escape(case.label())
        left = f"about {format_duration(remaining_s)} left"
        if self.task is None:
            self.task = self.bar.add_task(self.case, total=total, left=left)
        self.bar.update(self.task, completed=number - 1, description=self.case, left=left)

    def stage(self, stage: str) -> None:
        """Show the stage."""
        assert self.task is not None
        self.bar.update(self.task, description=f"{self.case} · {stage}")

    def case_ended(self, record: Record) -> None:
        """Print the case above the bar."""
        assert self.task is not None
        self.bar.advance(self.task)
        style = "default" if record.status is Status.ok else "yellow"
        self.bar.console.print(escape(summary(record)), style=style, highlight=False)


def summary(record: Record) -> str:
    """A finished case in one line."""
    label = record.case.label()
    if record.status is not Status.ok:
        return f"{label}: {record.status}: {record.reason}"
    metrics = record.metrics
    marks = f" ({', '.join(record.marks)})" if record.marks else ""
    if metrics.achieved_gb_per_s is not None:
        share = "" if metrics.bandwidth_share is None else f" ({metrics.bandwidth_share:.1%} of a copy's)"
        return f"{label}: {metrics.latency_ms:.3g} ms, {metrics.achieved_gb_per_s:.3g} GB/s{share}{marks}"
    return (
        f"{label}: {metrics.latency_ms:.1f} ms, {metrics.throughput_per_s:.1f} {record.unit}s/s, "
        f"activations {metrics.activation_memory_mib:.0f} MiB{marks}"
    )
