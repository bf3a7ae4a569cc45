"""The report of runs as they lie on the disk: one run, several side by side, or one against another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from vigbench.analysis.claims.sources import read_sources
from vigbench.analysis.compare import compare
from vigbench.records.load import frame_of_run
from vigbench.records.store import RunStore
from vigbench.report import Versus, write_page
from vigbench.stats.verdict import DEFAULT_MARGIN


def write_report(
    runs: str | Path | Iterable[str | Path],
    out: str | Path | None = None,
    *,
    against: str | Path | None = None,
    across: Sequence[str] = (),
    evidence: Iterable[str | Path] = (),
) -> Path:
    """Write a report: one self-contained HTML page, and each plot as PNG, SVG and PDF.

    Args:
        runs: folder of a run, or of several, which then stand side by side.
        out: folder for `report.html` and `figures/`; None: the run's own, of several runs `reports/<first>-and-<n>`,
            with `against` `reports/<run>-against-<base>`.
        against: folder of the run that the one run is compared with, case by case.
        across: with `against`: fields of the fingerprint that may differ.
        evidence: folders of duels and evaluations, or patterns of them: they decide published claims.

    Returns:
        The page.

    Raises:
        ValueError: if a folder is no run, one is named twice, or the two do not compare.
    """
    folders = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    if against is not None and len(folders) != 1:
        raise ValueError(f"One run is compared with another, and {len(folders)} were given; name one.")
    if against is not None:
        folders = [Path(against), *folders]
    stores = [RunStore.open(folder) for folder in folders]
    found = read_sources([str(path) for path in evidence])
    if len(stores) == 1:
        (store,) = stores
        return write_page(frame_of_run(store), store.info(), Path(out or folders[0]), evidence=found)
    names = _names(stores)
    frames = [frame_of_run(store).assign(run=name) for store, name in zip(stores, names, strict=True)]
    filled = [frame for frame in frames if len(frame)]
    frame = pd.concat(filled, ignore_index=True) if filled else frames[0]
    infos = [{**store.info(), "run": name} for store, name in zip(stores, names, strict=True)]
    versus = None if against is None else _versus(stores, names, across)
    return write_page(frame, infos, Path(out or _default_folder(stores, versus)), versus=versus, evidence=found)


def _default_folder(stores: Sequence[RunStore], versus: Versus | None) -> Path:
    first, last = stores[0].folder.name, stores[-1].folder.name
    return Path("reports") / (f"{last}-against-{first}" if versus else f"{first}-and-{len(stores) - 1}")


def _versus(stores: Sequence[RunStore], names: Sequence[str], across: Sequence[str]) -> Versus:
    base, head = (store.folder for store in stores)
    return Versus(names[0], names[1], compare(base, head, margin=DEFAULT_MARGIN, across=across), DEFAULT_MARGIN)


def _names(stores: Sequence[RunStore]) -> list[str]:
    """The folders' names, or their paths where two are called alike."""
    folders = [store.folder.resolve() for store in stores]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise ValueError(f"The run {twice} is named twice; name each run once.")
    names = [folder.name for folder in folders]
    return names if len(set(names)) == len(names) else [str(store.folder) for store in stores]
