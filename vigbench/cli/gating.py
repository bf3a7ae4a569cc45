"""`vigbench gate`: has this build become slower, larger or more expensive than an earlier one?"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from vigbench.cli import dueling, options
from vigbench.cli.measuring import command_line, measure

Baseline = Annotated[Path, typer.Option(help="Run of the same suite by the baseline build.")]
BaselinePython = Annotated[
    Path | None,
    typer.Option(help="Python of an environment with the baseline build: timings are then interleaved duels with it."),
]
Head = Annotated[Path | None, typer.Option(help="A finished run of this build to judge, instead of measuring one.")]
Out = Annotated[Path, typer.Option(help="Folder in which the run's folder is made.")]
Margin = Annotated[str, typer.Option(help="Smallest slow-down that matters, e.g. 3% or 0.03.")]
Markdown = Annotated[Path | None, typer.Option(help="Also write the result here, for a pull request.")]
Across = Annotated[str, typer.Option(help="Fields of the fingerprint that may differ, comma-separated.")]
Strict = Annotated[bool, typer.Option("--fail-on-inconclusive", help="Exit with 3 if a timing is inconclusive.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="One plain line a case, for logs.")]


def gate(
    baseline: Baseline,
    suite: options.Suite = "regression",
    baseline_python: BaselinePython = None,
    head: Head = None,
    out: Out = Path("results"),
    margin: Margin = "3%",
    markdown: Markdown = None,
    across: Across = "",
    fail_on_inconclusive: Strict = False,
    processes: dueling.Pairs = 6,
    blocks: dueling.Blocks = 30,
    quiet: Quiet = False,
) -> int:
    """Gate a build: deterministic metrics must not grow at all, timings not beyond the margin.

    Timings count only as interleaved ratios: against the baseline build itself (--baseline-python), or against the
    fixed workload that takes turns with each case in both runs.

    Exit codes: 0 passed; 1 something grew, is slower or no longer ok; 2 wrong input, or runs that do not compare;
    3 a timing is inconclusive (with --fail-on-inconclusive); 130 interrupted.
    """
    share = options.share("--margin", margin)
    fields = options.listed("--across", across) if across else []
    if markdown is not None:
        options.require_place("--markdown", markdown)
    from vigbench.analysis.growth import as_markdown as growth_markdown
    from vigbench.analysis.table import as_markdown, as_table
    from vigbench.cli.duel_progress import GateLines
    from vigbench.runner.duel import Effort
    from vigbench.runner.gate import gate as judge
    from vigbench.runner.gate import require_baseline

    if head is None:
        if baseline_python is not None:
            require_baseline(baseline, baseline_python, fields)
        head = _measure(baseline, suite, out, fields, quiet)
        if head is None:
            return 130
    result = judge(
        baseline,
        head,
        baseline_python=baseline_python,
        effort=Effort(processes, blocks),
        margin=share,
        across=fields,
        command_line=command_line(),
        progress=GateLines(quiet),
    )
    print(as_table(result.timings, share))
    if markdown is not None:
        parts = ["### vigbench gate", growth_markdown(result.growth), as_markdown(result.timings, share)]
        options.write_or_print("--markdown", markdown, "\n\n".join(parts))
    if not result.passed:
        return 1
    return 3 if fail_on_inconclusive and result.inconclusive else 0


def _measure(baseline: Path, suite: str, out: Path, across: list[str], quiet: bool) -> Path | None:
    """A run of this build; None if it was interrupted. Refused before anything is measured if it could not compare."""
    from vigbench.runner.gate import require_same_suite
    from vigbench.runner.run import start_run

    device = require_same_suite(baseline, suite, across)
    store, planned = start_run(suite, out=out, device=device, command_line=command_line())
    then = f"vigbench gate --baseline {quote(str(baseline))} --head {quote(str(store.folder))}"
    return store.folder if measure(store, planned, quiet, then=then) else None
