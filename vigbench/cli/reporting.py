"""`vigbench report`: the HTML page and the figures of one run or several; never measures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigbench.cli import options

Runs = Annotated[
    list[Path],
    typer.Argument(metavar="RUN", help="Folders of runs, e.g. results/smoke-cpu-20260101-120000; several: one page."),
]
Base = Annotated[Path | None, typer.Option(help="Folder of the run that RUN is compared with, case by case.")]
Across = Annotated[str, typer.Option(help="With --base: fields of the fingerprint that may differ, comma-separated.")]
Evidence = Annotated[
    list[str] | None,
    typer.Option(help="Folders of duels and evaluations, or quoted patterns: they decide published claims."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder for report.html and figures/; default: the run's own, of several runs reports/<first>-and-<n>, "
        "with --base reports/<run>-against-<base>."
    ),
]


def report(
    runs: Runs,
    base: Base = None,
    across: Across = "",
    evidence: Evidence = None,
    csv_dialect: options.RecordsDialect = "standard",
    out: Out = None,
) -> None:
    """Write a report: one self-contained HTML page, and each plot as PNG, SVG and PDF.

    One run; several, side by side; or a run against the one given as --base.
    """
    if across and base is None:
        raise ValueError("--across belongs to --base; add that.")
    if base is not None and len(runs) > 1:
        raise ValueError(f"--base compares one run with another, and {len(runs)} were given; name one, or drop --base.")
    for_spreadsheets = options.is_for_spreadsheets(csv_dialect)
    fields = options.listed("--across", across) if across else []
    from vigbench.report.of_runs import write_report

    page = write_report(runs, out, against=base, across=fields, evidence=evidence or ())
    print(page)
    if for_spreadsheets:
        from vigbench.records.spreadsheet import write_records

        print(write_records(page.parent, runs if base is None else [base, *runs]))
