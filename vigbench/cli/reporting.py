"""`vigbench report`: the HTML page and the figures of a run; never measures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, e.g. results/smoke-cpu-20260101-120000.")
]
Out = Annotated[Path | None, typer.Option(help="Folder for report.html and figures/; default: the run's own.")]


def report(run: RunFolder, out: Out = None) -> None:
    """Write a run's report: one self-contained HTML page, and each plot as PNG and SVG."""
    print(report_on(run, out))


def report_on(run: Path, out: Path | None = None) -> Path:
    """Write the report of the run in folder `run`; returns the page. ValueError if the folder is no run."""
    from vigbench.records.load import frame_of_run
    from vigbench.records.store import RunStore
    from vigbench.report import write_report

    store = RunStore.open(run)
    return write_report(frame_of_run(store), store.info(), out or run)
