"""Many runs as one tidy pandas frame."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from vigbench.records.schema import columns
from vigbench.records.store import RunStore

RUN_COLUMNS = ("run", "suite", "protocol", "device_name", "torch_version")


def load_results(runs: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Read runs into one frame: one row for each case, units in the column names.

    Args:
        runs: folders of runs, or glob patterns such as `results/*`; matches that are no runs are passed over.

    Returns:
        The columns `run, suite, protocol, device_name, torch_version`, then those of `records.csv`
        (docs/result-schema.md). What was not measured is missing (NaN), never zero.

    Raises:
        ValueError: if nothing matches, or a run is damaged.
    """
    patterns = [runs] if isinstance(runs, str | Path) else list(runs)
    stores = [store for pattern in patterns for store in _find(str(pattern))]
    frames = [frame_of_run(store) for store in {store.folder.resolve(): store for store in stores}.values()]
    if not frames:
        raise ValueError(
            f"No run matches {', '.join(map(str, patterns))}; a run is a folder with run.json and journal.jsonl."
        )
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def frame_of_run(store: RunStore) -> pd.DataFrame:
    """One run as a frame, see `load_results`."""
    info = store.info()
    environment = info.get("environment", {})
    frame = pd.DataFrame([record.row() for record in store.records()], columns=list(columns()))
    values = (store.folder.name, info["suite"], info["protocol"], info["device_name"], environment.get("torch"))
    for position, (name, value) in enumerate(zip(RUN_COLUMNS, values, strict=True)):
        frame.insert(position, name, value)
    return frame


def _find(pattern: str) -> list[RunStore]:
    # an existing folder may hold glob characters in its name, so it is tried first
    folders = [pattern] if Path(pattern).is_dir() else sorted(glob.glob(pattern))  # noqa: PTH207  takes absolute patterns too
    return [RunStore.open(Path(folder)) for folder in folders if (Path(folder) / "run.json").is_file()]
