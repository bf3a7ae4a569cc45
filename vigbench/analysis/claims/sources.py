"""Folders named on a command line as evidence: runs, duels and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vigbench.records import accuracy, duel
from vigbench.records.accuracy import Accuracy, read_accuracy
from vigbench.records.duel import Duel, read_duel
from vigbench.records.files import matching
from vigbench.records.load import load_results


@dataclass(frozen=True)
class Sources:
    """What the folders hold; `frame` is None without a run."""

    frame: pd.DataFrame | None
    duels: list[Duel]
    accuracies: list[Accuracy]


def read_sources(patterns: Sequence[str]) -> Sources:
    """Read every folder that a pattern names.

    Raises:
        ValueError: if a pattern names none, or one is damaged.
    """
    folders: dict[Path, str] = {}
    for pattern in patterns:
        kinds = {folder.resolve(): _kind(folder) for folder in matching(pattern)}
        if not any(kinds.values()):
            raise ValueError(
                f"{pattern} names no run, duel or evaluation; those are folders with run.json, {duel.INFO} or "
                f"{accuracy.INFO_FILE}, such as results/<suite>-<device>-<time>."
            )
        folders |= kinds
    by_kind = {kind: [folder for folder, one in folders.items() if one == kind] for kind in set(folders.values())}
    runs = by_kind.get("run.json", [])
    duels = (read_duel(folder) for folder in by_kind.get(duel.INFO, []))
    return Sources(
        load_results(runs) if runs else None,
        [one for one in duels if one is not None],
        [read_accuracy(folder) for folder in by_kind.get(accuracy.INFO_FILE, [])],
    )


def _kind(folder: Path) -> str:
    return next((name for name in ("run.json", duel.INFO, accuracy.INFO_FILE) if (folder / name).is_file()), "")
