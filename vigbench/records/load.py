"""Many runs as one tidy pandas frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from vigbench.records.files import matching
from vigbench.records.fingerprint import digest, fingerprint
from vigbench.records.journal import read_journal
from vigbench.records.metrics import Metrics
from vigbench.records.run_info import require_keys
from vigbench.records.schema import Record, columns
from vigbench.records.store import RunStore
from vigbench.suites.case import Case

RUN_COLUMNS = ("run", "suite", "protocol", "device_name", "torch_version", "fingerprint")

_OWN = tuple(name for name in Record.model_fields if name not in ("case", "metrics"))
_FIELDS = (*_OWN, *Case.model_fields, *Metrics.model_fields)
_of_record, _of_case, _of_metrics = (attrgetter(*names) for names in (_OWN, Case.model_fields, Metrics.model_fields))
_TYPES = {  # of `float | None` etc.
    name: get_args(field.annotation) for fields in (Case, Metrics) for name, field in fields.model_fields.items()
}


def load_results(runs: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Read runs into one frame: one row for each case, units in the column names.

    Args:
        runs: folders of runs, or glob patterns such as `results/*`; matches that are no runs are passed over.

    Returns:
        The columns `run, suite, protocol, device_name, torch_version, fingerprint`, then those of `records.csv`
        (docs/result-schema.md). What was not measured is missing (NaN), never zero.

    Raises:
        ValueError: if nothing matches, or a run is damaged.
    """
    patterns = [runs] if isinstance(runs, str | Path) else list(runs)
    stores = [store for pattern in patterns for store in find_runs(str(pattern))]
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
    require_keys(info, store.info_file, ("suite", "protocol", "device_name"))
    of_run = {
        **info,
        "run": store.folder.name,
        "torch_version": (info.get("environment") or {}).get("torch"),
        "fingerprint": digest(fingerprint(info)),
    }
    cells, latest = _cells(store)
    of_cases = {name: _column(name, values) for name, values in zip(_FIELDS, cells, strict=True)}
    front = {name: [of_run[name]] * len(cells[0]) for name in RUN_COLUMNS}
    frame = pd.DataFrame({**front, **{name: of_cases[name] for name in columns()}})
    return frame if len(latest) == len(frame) else frame.iloc[latest].reset_index(drop=True)


def _cells(store: RunStore) -> tuple[list[list[Any]], list[int]]:
    """The values of each of `_FIELDS`, one for each line of the journal; and the line that counts for each case."""
    cells: list[list[Any]] = [[] for _ in _FIELDS]
    latest: dict[str, int] = {}  # a case recorded again keeps its place and takes the later values

    def row(number: int, record: Record) -> tuple[Any, ...]:
        latest[record.case_id] = number
        return _of_record(record) + _of_case(record.case) + _of_metrics(record.metrics)

    rows = itertools.starmap(row, enumerate(read_journal(store.journal)))
    # in small portions: the more tuples live, the more the garbage collector has to look at (measured: up to 3x)
    while portion := list(itertools.islice(rows, 100)):
        for values, more in zip(cells, zip(*portion, strict=True), strict=True):
            values.extend(more)
    return cells, list(latest.values())


def _column(name: str, values: list[Any]) -> pd.Series[Any]:
    if name == "marks":
        return pd.Series([";".join(marks) for marks in values])
    if isinstance(next((value for value in values if value is not None), None), Enum):
        return pd.Series([None if value is None else value.value for value in values])
    types = _TYPES.get(name, ())
    # a count that some cases lack, or all, is a float: NaN is one; a size may also be a text, 224x320
    number = float in types or (int in types and None in values and str not in map(type, values))
    return pd.Series(values, dtype="float64" if number else None)


def find_runs(pattern: str) -> list[RunStore]:
    """The runs that a folder's name or a glob pattern means; what is no run is passed over."""
    return [RunStore.open(folder) for folder in matching(pattern) if (folder / "run.json").is_file()]
