"""What a person sees while an evaluation goes on: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vigbench.evaluation.run import EvaluationProgress
from vigbench.records.accuracy import AccuracyRow


@contextmanager
def make_progress(quiet: bool) -> Iterator[EvaluationProgress]:
    """A bar on a terminal, plain lines where quiet or not on one."""
    if quiet or not sys.stderr.isatty():
        yield Lines(quiet)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar)


class Lines:
    """A line on stdout for each resolution that ends, and unless quiet one for each tenth of its images."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

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
        print(summary(row), flush=True)


class Bar:
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
        self.bar.console.print(summary(row), highlight=False)


def summary(row: AccuracyRow) -> str:
    """A finished resolution in one line."""
    top5 = "" if row.top5_percent is None else f", top-5 {row.top5_percent:.2f}%"
    return f"{row.resolution} px: top-1 {row.top1_percent:.2f}%{top5} of {row.images} images"
