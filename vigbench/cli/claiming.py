"""`vigbench claims`: which published statements hold here."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from vigbench.cli import options

if TYPE_CHECKING:
    from vigbench.analysis.claims.evidence import Evidence
    from vigbench.analysis.claims.schema import Claim
    from vigbench.runner.claims import Comparison

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
    quiet: Quiet = False,
) -> int:
    """Hold published claims against what was measured: supported, refuted or open, and why.

    Parameters and multiply-adds are counted now. Speed and memory come from the runs and duels that are named, and are
    decided on a GPU; a CPU's own ratio stands beside. Each claim ends with the command that measures it again.

    Exit codes: 0 done; 2 wrong input; 130 interrupted.
    """
    render = options.one_of_names("--format", form, ("text", "markdown", "csv", "json"))
    budget_s = options.duration_s("--budget", budget)
    if out is not None and not measure:
        raise ValueError("--out belongs to --measure; add that, or send the text to a file with > FILE.")
    chosen = _chosen(claim)

    from vigbench.analysis.claims import judge_claims
    from vigbench.analysis.claims.evidence import on_each_device, rows_of
    from vigbench.analysis.claims.sources import read_sources
    from vigbench.analysis.claims.text import FORMATS
    from vigbench.runner.claims import count_models

    patterns = list(suite_run or [])
    if measure:
        out = out or _new_folder(device)
        patterns += [f"{out}/*"] if any(out.glob("*/*.json")) else []
    found = read_sources(patterns)
    if measure and out is not None:
        evidence = on_each_device(rows_of(found.frame), found.duels)
        if not _measure(chosen, evidence, (device, threads or 0), budget_s, out, quiet):
            again = f"vigbench claims --measure --claim {quote(claim)} --out {quote(str(out))}"
            print(f"Interrupted; nothing measured is lost. Continue with: {again}", file=sys.stderr)
            return 130
        found = read_sources([*(suite_run or []), f"{out}/*"] if any(out.glob("*/*.json")) else patterns)
    judged = judge_claims(
        found.frame, duels=found.duels, accuracies=found.accuracies, counts=count_models(chosen), claims=chosen
    )
    print(FORMATS[render](judged))
    return 0


def _chosen(patterns: str) -> list[Claim]:
    from vigbench.analysis.claims import load_claims
    from vigbench.nearest import did_you_mean

    wanted = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    ids = [one.id for one in load_claims()]
    for pattern in wanted:
        if not any(fnmatchcase(one, pattern) for one in ids):
            raise ValueError(
                f"--claim: no claim is called {pattern!r}{did_you_mean(pattern, ids)} Ids: {', '.join(ids)}."
            )
    return [one for one in load_claims() if any(fnmatchcase(one.id, pattern) for pattern in wanted)]


def _new_folder(device: str) -> Path:
    from datetime import UTC, datetime

    from vigbench.records.files import new_folder, starting_in
    from vigbench.runner.machine import choose_device

    with starting_in(Path("results")):
        return new_folder(Path("results"), f"claims-{choose_device(device)}-{datetime.now(UTC):%Y%m%d-%H%M%S}")


def _measure(
    claims: list[Claim], evidence: list[Evidence], where: tuple[str, int], budget_s: float, out: Path, quiet: bool
) -> bool:
    """Measure what is missing, the quickest first, while there is time; returns whether nobody interrupted."""
    from time import monotonic

    from vigbench.runner.claims import missing
    from vigbench.runner.machine import choose_device
    from vigbench.suites.duration import format_duration

    begin = monotonic()
    device, threads = where
    todo = sorted(missing(claims, evidence, choose_device(device), threads), key=lambda one: one.estimated_s())
    print(f"{len(todo)} comparisons to measure, into {out}", file=sys.stderr)
    for number, one in enumerate(todo):
        if (left := budget_s - (monotonic() - begin)) < one.estimated_s():
            rest = format_duration(max(0.0, left))
            print(
                f"vigbench: {len(todo) - number} comparisons are left out: of the budget {rest} are left, and the next "
                f"may take {format_duration(one.estimated_s())}. Give more with --budget.",
                file=sys.stderr,
            )
            break
        print(f"[{number + 1}/{len(todo)}] {one.ours.label()} beside {one.theirs.label()}", file=sys.stderr, flush=True)
        if not _compare(one, left, out, quiet):
            return False
    return True


def _compare(one: Comparison, budget_s: float, out: Path, quiet: bool) -> bool:
    from vigbench.cli.dueling import run_and_keep
    from vigbench.cli.measuring import command_line, measure
    from vigbench.runner.claims import EFFORT
    from vigbench.runner.duel import Contestant, ContestantFailedError
    from vigbench.runner.run import start_run
    from vigbench.stats.verdict import DEFAULT_MARGIN

    if not one.is_duel:
        changes = one.overrides(budget_s)
        store, planned = start_run(
            None, out=out, device=one.ours.device, overrides=changes, command_line=command_line()
        )
        return measure(store, planned, quiet)
    try:
        run_and_keep(Contestant(one.ours), Contestant(one.theirs), EFFORT[one.ours.device], DEFAULT_MARGIN, out, quiet)
    except ContestantFailedError as error:
        print(f"vigbench: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return False
    return True
