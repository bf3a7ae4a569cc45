"""`vigbench claims`: which published statements hold here."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from vigbench.cli import options

SuiteRun = Annotated[
    list[str] | None,
    typer.Option(help="Folder of a run, a duel or an evaluation, or a quoted pattern of several; can be repeated."),
]
Only = Annotated[str, typer.Option("--claim", help="Only these: ids or globs, comma-separated, e.g. 'vig-t-*'.")]
Measure = Annotated[bool, typer.Option("--measure", help="Measure here what is missing: duels for speed, memory.")]
Budget = Annotated[str, typer.Option(help="With --measure: time for all of it; what is quick comes first.")]
Out = Annotated[
    Path | None,
    typer.Option(help="With --measure: folder for its results; what lies there already is not measured again."),
]
Format = Annotated[str, typer.Option("--format", help="text, markdown, csv or json.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="With --measure: no line for each pair of processes.")]


def claims(
    suite_run: SuiteRun = None,
    claim: Only = "*",
    measure: Measure = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    budget: Budget = "30m",
    out: Out = None,
    form: Format = "text",
    csv_dialect: options.CsvDialect = "standard",
    quiet: Quiet = False,
) -> int:
    """Hold published claims against what was measured: supported, refuted or open, and why.

    Parameters and multiply-adds are counted now. Speed and memory come from the runs and duels that are named, and are
    decided on a GPU; a CPU's own ratio stands beside. Each claim ends with the command that measures it again.

    Exit codes: 0 done; 2 wrong input; 130 interrupted.
    """
    render = options.one_of_names("--format", form, ("text", "markdown", "csv", "json"))
    for_spreadsheets = options.is_for_spreadsheets(csv_dialect, render, to_terminal=True)
    budget_s = options.duration_s("--budget", budget)
    if out is not None and not measure:
        raise ValueError("--out belongs to --measure; add that, or send the text to a file with > FILE.")
    from vigbench.analysis.claims import choose_claims, judge_claims
    from vigbench.analysis.claims.sources import read_sources
    from vigbench.analysis.claims.text import FORMATS, as_frame
    from vigbench.records.spreadsheet import spreadsheet
    from vigbench.runner.claims import count_claimed_models, measured_in

    wanted = options.listed("--claim", claim)
    chosen = choose_claims(wanted)
    evidence = list(suite_run or [])
    if measure:
        out = out or _new_folder(device)
        if not _measure(wanted, evidence, device, threads or 0, budget_s, out, quiet):
            again = f"vigbench claims --measure --claim {quote(claim)} --out {quote(str(out))}"
            print(f"Interrupted; nothing measured is lost. Continue with: {again}", file=sys.stderr)
            return 130
        evidence += measured_in(out)
    found = read_sources(evidence)
    counts = count_claimed_models(chosen)
    judged = judge_claims(found.frame, duels=found.duels, accuracies=found.accuracies, counts=counts, claims=chosen)
    options.write_or_print("", None, spreadsheet(as_frame(judged)) if for_spreadsheets else FORMATS[render](judged))
    return 0


def _new_folder(device: str) -> Path:
    from datetime import UTC, datetime

    from vigbench.records.files import new_folder, starting_in
    from vigbench.worker.describe import choose_device

    with starting_in(Path("results")):
        return new_folder(Path("results"), f"claims-{choose_device(device)}-{datetime.now(UTC):%Y%m%d-%H%M%S}")


def _measure(
    claims: list[str], evidence: list[str], device: str, threads: int, budget_s: float, out: Path, quiet: bool
) -> bool:
    """True unless interrupted."""
    from vigbench.cli.duel_progress import ClaimsLines
    from vigbench.cli.measuring import command_line
    from vigbench.cli.measuring import measure as measure_run
    from vigbench.runner.claims import measure_claims

    try:
        return measure_claims(
            claims,
            evidence,
            out=out,
            device=device,
            threads=threads,
            budget_s=budget_s,
            command_line=command_line(),
            progress=ClaimsLines(quiet),
            measure=lambda store, planned: measure_run(store, planned, quiet),
        )
    except KeyboardInterrupt:
        return False
