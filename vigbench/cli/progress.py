"""What a person sees while a run or an evaluation goes on: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vigbench.evaluation.progress import EvaluationProgress
from vigbench.records.accuracy import AccuracyRow
from vigbench.records.schema import Record, Status
from vigbench.runner.coordinator import Progress as RunProgress
from vigbench.runner.coordinator import Silent
from vigbench.suites.case import Case
from vigbench.suites.duration import format_duration


@contextmanager
def show_run(quiet: bool) -> Iterator[RunProgress]:
    """A bar on a terminal, plain lines where quiet or not on one."""
    with _bar(
        quiet,
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", style="dim"),
    ) as bar:
        yield RunLines() if bar is None else RunBar(bar)


@contextmanager
def show_evaluation(quiet: bool) -> Iterator[EvaluationLines]:
    """A bar on a terminal, plain lines where quiet or not on one."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with _bar(quiet, *columns) as bar:
        yield EvaluationLines(quiet) if bar is None else EvaluationBar(bar)


@contextmanager
def _bar(quiet: bool, *columns: ProgressColumn) -> Iterator[Progress | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield bar


class RunLines(Silent):
    """One line on stdout for each case that ends."""

    def case_started(self, case: Case, number: int, total: int, remaining_s: float) -> None:  # noqa: ARG002
        """Remember the position."""
        self.position = f"[{number}/{total}]"

    def case_ended(self, record: Record) -> None:
        """The case's line."""
        print(f"{self.position} {summary(record)}", flush=True)


class RunBar:
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


class EvaluationLines(EvaluationProgress):
    """A line on stdout for each resolution that ends, and unless quiet one for each tenth of its images.

    Attributes:
        folder: of the evaluation, as soon as it is there.
    """

    folder: Path | None = None

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def evaluation_started(self, folder: Path, used: Sequence[str]) -> None:
        """Say what is used."""
        self.folder = folder
        for line in used:
            print(f"vigbench: {line}", file=sys.stderr)

    def resolution_started(self, resolution: int, done: int, images: int) -> None:
        """Remember where it starts."""
        self.resolution, self.images, self.said = resolution, images, 10 * done // images

    def images_done(self, done: int) -> None:
        """The line of a tenth."""
        tenths = 10 * done // self.images
        if not self.quiet and self.said < tenths < 10:
            print(f"{self.resolution} px: {done} of {self.images} images", flush=True)
        self.said = tenths

    def resolution_ended(self, row: AccuracyRow) -> None:
        """The resolution's line."""
        print(accuracy_summary(row), flush=True)


class EvaluationBar(EvaluationLines):
    """A bar with the images of the running resolution; finished ones scroll above it."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.task: TaskID | None = None

    def resolution_started(self, resolution: int, done: int, images: int) -> None:
        """A new bar."""
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(f"{resolution} px", total=images, completed=done)

    def images_done(self, done: int) -> None:
        """Move the bar."""
        assert self.task is not None
        self.bar.update(self.task, completed=done)

    def resolution_ended(self, row: AccuracyRow) -> None:
        """Print the resolution above the bar."""
        self.bar.console.print(accuracy_summary(row), highlight=False)


def summary(record: Record) -> str:
    """A finished case in one line."""
    label = record.case.label()
    if record.status is not Status.ok:
        return f"{label}: {record.status}: {record.reason}"
    metrics = record.metrics
    marks = f" ({', '.join(record.marks)})" if record.marks else ""
    if metrics.sent_mib_per_rank is not None:
        return f"{label}: {metrics.latency_ms:.3g} ms, a rank sends {metrics.sent_mib_per_rank:.3g} MiB{marks}"
    if metrics.achieved_gb_per_s is not None:
        share = "" if metrics.bandwidth_share is None else f" ({metrics.bandwidth_share:.1%} of a copy's)"
        return f"{label}: {metrics.latency_ms:.3g} ms, {metrics.achieved_gb_per_s:.3g} GB/s{share}{marks}"
    return (
        f"{label}: {metrics.latency_ms:.1f} ms, {metrics.throughput_per_s:.1f} {record.unit}s/s, "
        f"activations {metrics.activation_memory_mib:.0f} MiB{marks}"
    )


def accuracy_summary(row: AccuracyRow) -> str:
    """A finished resolution in one line."""
    top5 = "" if row.top5_percent is None else f", top-5 {row.top5_percent:.2f}%"
    return f"{row.resolution} px: top-1 {row.top1_percent:.2f}%{top5} of {row.images} images"
