"""`vigbench compare`: two runs, case by case, with verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigbench.cli import options

RUNS = "a run's folder, or a quoted pattern such as 'results/base-*', whose runs count together."
Base = Annotated[str, typer.Argument(metavar="BASE", help=f"What to compare with: {RUNS}")]
Head = Annotated[str, typer.Argument(metavar="HEAD", help="What is compared: the same.")]
Metric = Annotated[str, typer.Option(help="latency_ms, throughput_per_s or kernel_ms.")]
Margin = Annotated[str, typer.Option(help="Smallest difference that matters, e.g. 3% or 0.03.")]
Across = Annotated[str, typer.Option(help="Fields of the fingerprint that may differ, comma-separated.")]
Format = Annotated[str, typer.Option("--format", help="table, markdown, csv or json.")]
Out = Annotated[Path | None, typer.Option(help="File to write to; default: the terminal.")]
Strict = Annotated[bool, typer.Option("--fail-on-inconclusive", help="Exit with 3 if a case is inconclusive.")]


def compare(
    base: Base,
    head: Head,
    metric: Metric = "latency_ms",
    margin: Margin = "3%",
    across: Across = "",
    form: Format = "table",
    csv_dialect: options.CsvDialect = "standard",
    out: Out = None,
    fail_on_inconclusive: Strict = False,
) -> int:
    """Compare two runs case by case: FASTER, SLOWER, SAME or INCONCLUSIVE.

    Exit codes: 0 done; 1 a case is slower or no longer ok; 2 wrong input, or runs that do not compare;
    3 a case is inconclusive (with --fail-on-inconclusive).
    """
    share = options.share("--margin", margin)
    render = options.one_of_names("--format", form, ("table", "markdown", "csv", "json"))
    for_spreadsheets = options.is_for_spreadsheets(csv_dialect, render, to_terminal=out is None)
    fields = options.listed("--across", across) if across else []

    from vigbench.analysis.compare import compare as compare_runs
    from vigbench.analysis.table import FORMATS
    from vigbench.records.spreadsheet import spreadsheet
    from vigbench.stats.verdict import Verdict

    frame = compare_runs(base, head, metric=metric, margin=share, across=fields)
    options.write_or_print("--out", out, spreadsheet(frame) if for_spreadsheets else FORMATS[render](frame, share))
    if frame["regression"].any():
        return 1
    return 3 if fail_on_inconclusive and (frame["verdict"] == Verdict.INCONCLUSIVE).any() else 0
