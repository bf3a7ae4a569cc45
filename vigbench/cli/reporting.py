"""`vigbench report`: the HTML page and the figures of one run or several; never measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vigbench.records.store import RunStore
    from vigbench.report import Versus

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


def report(runs: Runs, base: Base = None, across: Across = "", evidence: Evidence = None, out: Out = None) -> None:
    """Write a report: one self-contained HTML page, and each plot as PNG, SVG and PDF.

    One run; several, side by side; or a run against the one given as --base.
    """
    if across and base is None:
        raise ValueError("--across belongs to --base; add that.")
    if base is not None and len(runs) > 1:
        raise ValueError(f"--base compares one run with another, and {len(runs)} were given; name one, or drop --base.")
    if base is None and len(runs) == 1:
        print(report_on(runs[0], out, evidence or ()))
    else:
        fields = [name.strip() for name in across.split(",") if name.strip()]
        print(report_together(runs, base, fields, out, evidence or ()))


def report_on(run: Path, out: Path | None = None, evidence: Sequence[str] = ()) -> Path:
    """Write the report of the run in folder `run`; returns the page. ValueError if the folder is no run."""
    from vigbench.analysis.claims.sources import read_sources
    from vigbench.records.load import frame_of_run
    from vigbench.records.store import RunStore
    from vigbench.report import write_report

    store = RunStore.open(run)
    return write_report(frame_of_run(store), store.info(), out or run, evidence=read_sources(evidence))


def report_together(
    runs: list[Path], base: Path | None, across: list[str], out: Path | None, evidence: Sequence[str] = ()
) -> Path:
    """Write one report of several runs, or of one run against `base`; returns the page.

    Raises:
        ValueError: if a folder is no run, one is named twice, or base and run do not compare.
    """
    import pandas as pd

    from vigbench.analysis.claims.sources import read_sources
    from vigbench.records.load import frame_of_run
    from vigbench.records.store import RunStore
    from vigbench.report import write_report

    stores = [RunStore.open(run) for run in ([base] if base else []) + runs]
    names = _names(stores)
    frames = [frame_of_run(store).assign(run=name) for store, name in zip(stores, names, strict=True)]
    filled = [frame for frame in frames if len(frame)]
    frame = pd.concat(filled, ignore_index=True) if filled else frames[0]
    infos = [{**store.info(), "run": name} for store, name in zip(stores, names, strict=True)]
    versus = _versus(stores, names, across) if base else None
    last = stores[-1].folder.name if base else stores[0].folder.name
    other = f"against-{stores[0].folder.name}" if base else f"and-{len(stores) - 1}"
    out = out or Path("reports") / f"{last}-{other}"
    return write_report(frame, infos, out, versus=versus, evidence=read_sources(evidence))


def _versus(stores: list[RunStore], names: list[str], across: list[str]) -> Versus:
    from vigbench.analysis.compare import compare
    from vigbench.report import Versus
    from vigbench.stats.verdict import DEFAULT_MARGIN

    base, head = (store.folder for store in stores)
    return Versus(names[0], names[1], compare(base, head, margin=DEFAULT_MARGIN, across=across), DEFAULT_MARGIN)


def _names(stores: list[RunStore]) -> list[str]:
    """The folders' names, or their paths where two are called alike."""
    folders = [store.folder.resolve() for store in stores]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise ValueError(f"The run {twice} is named twice; name each run once.")
    names = [folder.name for folder in folders]
    return names if len(set(names)) == len(names) else [str(store.folder) for store in stores]
