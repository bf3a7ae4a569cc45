"""`vigbench gate`: has this build become slower, larger or more expensive than an earlier one?"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigbench.cli import dueling, options
from vigbench.cli.measuring import command_line, measure

if TYPE_CHECKING:
    import pandas as pd

    from vigbench.records.store import RunStore
    from vigbench.runner.duel import Effort

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
    from vigbench.analysis.growth import as_markdown as growth_markdown
    from vigbench.analysis.growth import as_text as growth_text
    from vigbench.analysis.growth import find_growth
    from vigbench.analysis.table import as_markdown, as_table
    from vigbench.records.load import load_results
    from vigbench.records.store import RunStore
    from vigbench.runner.duel import Effort
    from vigbench.stats.verdict import Verdict

    base_store = RunStore.open(baseline)
    _require_finished(base_store)
    if baseline_python is not None:
        _require_baseline(base_store, str(baseline_python), fields)
    head_store = _finished(head, base_store) if head is not None else _measure(base_store, suite, out, fields, quiet)
    if head_store is None:
        return 130
    timings = _timings(base_store, head_store, share, fields)
    growth = find_growth(load_results(base_store.folder), load_results(head_store.folder))
    print(growth_text(growth), flush=True)
    if baseline_python is not None:
        effort = Effort(processes, blocks)
        timings = _duels(timings, str(baseline_python), effort, share, head_store.folder, quiet)
    print(as_table(timings, share))
    if markdown is not None:
        parts = ["### vigbench gate", growth_markdown(growth), as_markdown(timings, share)]
        options.write_or_print("--markdown", markdown, "\n\n".join(parts))
    if growth["grown"].any() or timings["regression"].any():
        return 1
    return 3 if fail_on_inconclusive and (timings["verdict"] == Verdict.INCONCLUSIVE).any() else 0


def _require_finished(store: RunStore) -> None:
    if not store.info().get("finished_at"):
        raise ValueError(
            f"{store.folder} is not finished; continue it with: vigbench run --resume {quote(str(store.folder))}"
        )


def _finished(head: Path, base: RunStore) -> RunStore:
    """The run to judge, if it can be judged against that baseline."""
    from vigbench.records.store import RunStore

    store = RunStore.open(head)
    _require_finished(store)
    if (suite := store.info()["suite"]) != (other := base.info()["suite"]):
        raise ValueError(f"{head} is a run of suite {suite}, and {base.folder} one of {other}; name runs of one suite.")
    return store


def _require_baseline(base: RunStore, python: str, across: list[str]) -> None:
    """Raise ValueError unless that Python has the build and the software with which the baseline run was made."""
    from vigbench.analysis.sides import require_comparable
    from vigbench.records.fingerprint import fingerprint
    from vigbench.runner.machine import describe_machine
    from vigbench.suites.case import Case

    info = base.info()
    there = describe_machine(Case.model_validate(info["cases"][0]), python)
    if info.get("code") and there["code"] != info["code"]:
        raise ValueError(
            f"{python} has build {there['code']} of vigbench, and {base.folder} was made by build {info['code']}: make "
            "the baseline run with that Python, or name the one that made it."
        )
    require_comparable(str(base.folder), fingerprint(info), python, fingerprint(there), across)


def _measure(base: RunStore, suite: str, out: Path, across: list[str], quiet: bool) -> RunStore | None:
    """A run of this build; None if it was interrupted. Refused before anything is measured if it could not compare."""
    from vigbench.analysis.sides import require_comparable
    from vigbench.records.fingerprint import fingerprint
    from vigbench.runner.run import describe_run, plan_for, start_run

    info = base.info()
    planned_suite, planned = plan_for(suite, info["device"])
    if planned_suite.name != info["suite"]:
        raise ValueError(
            f"{base.folder} is a run of suite {info['suite']}, not of {planned_suite.name}; name that suite or another "
            "baseline."
        )
    now = fingerprint(describe_run(planned_suite, planned, []))
    require_comparable(str(base.folder), fingerprint(info), "this machine", now, across)
    store, planned = start_run(suite, out=out, device=info["device"], command_line=command_line())
    then = f"vigbench gate --baseline {quote(str(base.folder))} --head {quote(str(store.folder))}"
    return store if measure(store, planned, quiet, then=then) else None


def _timings(base: RunStore, head: RunStore, margin: float, across: list[str]) -> pd.DataFrame:
    """The comparison of two runs, of which only calibrated ratios count: another moment says nothing about the code."""
    from vigbench.analysis.compare import compare
    from vigbench.stats.verdict import Verdict

    timings = compare(base.folder, head.folder, margin=margin, across=across)
    lost = timings["base_status"].notna() & timings["head_status"].isna()
    timings.loc[lost, "regression"] = True
    timings.loc[lost, "note"] = "no longer measured"
    bare = timings["ratio"].notna() & ~timings["note"].str.contains("calibrated")
    timings.loc[bare, "verdict"] = Verdict.INCONCLUSIVE.value
    timings.loc[bare, "regression"] = False
    timings.loc[bare, "note"] = "not calibrated: use calibrate: true in the suite, or --baseline-python"
    return timings


def _duels(timings: pd.DataFrame, python: str, effort: Effort, margin: float, out: Path, quiet: bool) -> pd.DataFrame:
    """The same frame with every ratio from a duel of the two builds."""
    from vigbench.analysis.compare import empty_row, judged_frame
    from vigbench.analysis.sides import SETTINGS
    from vigbench.cli.dueling import run_and_keep
    from vigbench.runner.duel import Contestant, ContestantFailedError
    from vigbench.suites.case import Case

    rows: list[Any] = []
    for found in timings.to_dict("records"):
        row = empty_row({name: found[name] for name in SETTINGS})
        row |= {name: found[name] for name in ("base_status", "head_status", "note")}
        rows.append((row, None))
        if found["base_status"] != "ok" or found["head_status"] != "ok":
            row["regression"] = found["regression"]
            continue
        case = Case.model_validate({name: found[name] for name in SETTINGS})
        try:
            result, log_ratio = run_and_keep(
                Contestant(case, python), Contestant(case), effort, margin, out / "duels", quiet
            )
        except ContestantFailedError as error:
            if error.contestant.python is not None:
                raise  # without the baseline there is nothing to judge by
            row |= {"regression": True, "note": str(error)}
            continue
        row |= {"base": result.base_ms, "head": result.head_ms, "note": "interleaved with the baseline build"}
        rows[-1] = (row, log_ratio)
    return judged_frame(rows, margin)
