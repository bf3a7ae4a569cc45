"""The two sides of a comparison: which runs they are, and whether they may be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vigbench.nearest import did_you_mean, one_of
from vigbench.records.column import QuantityKind
from vigbench.records.files import matching
from vigbench.records.fingerprint import FIELDS, differences, digest, fingerprint
from vigbench.records.kernel_time import KernelTimeSource
from vigbench.records.metrics import COLUMNS, of_source
from vigbench.records.schema import Status, names_in
from vigbench.records.store import RunStore
from vigbench.stats.hierarchical import location
from vigbench.suites.axes import RUN_ALONE
from vigbench.suites.case import Case

SETTINGS = tuple(Case.model_fields)
_DEFAULTS = {name: field.default for name, field in Case.model_fields.items()}
NEEDED = tuple(name for name in SETTINGS if _DEFAULTS[name] not in (None, "") and name not in RUN_ALONE)
"""Settings without which a frame is none of cases: those that some cases lack, and frames of before ranks, may miss."""
# metric -> the quantities of its raw samples, the first that is there
METRICS = {name: column.compared.samples for name, column in COLUMNS.items() if column.compared}
FRAME_FINGERPRINT = ("protocol", "device_name", "torch_version", "fingerprint")  # what a frame knows of it


@dataclass(frozen=True)
class Measurement:
    """One case on one side.

    Attributes:
        row: its record, as in records.csv.
        samples: quantity -> for each process the raw values; empty where only a frame is known.
        runs: how many are pooled in it.
    """

    row: Mapping[str, Any]
    samples: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    runs: int = 1

    @property
    def ok(self) -> bool:
        """Whether the case was measured."""
        return bool(self.row["status"] == Status.ok)

    @property
    def marks(self) -> set[str]:
        """Warnings on the record."""
        return names_in(self.row["marks"])

    @property
    def kernel_time_source(self) -> str | None:
        """Where kernel_ms comes from; records before there were several kinds have it from events."""
        if source := self.said("kernel_time_source"):
            return source
        if self.row.get("kernel_ms") is None or pd.isna(self.row["kernel_ms"]):
            return None
        exposed = "launch_exposed" in self.marks
        return str(KernelTimeSource.events_exposed if exposed else KernelTimeSource.events)

    def said(self, column: str) -> str:
        """What a column of words has; empty where that was not recorded."""
        value = self.row.get(column)
        return "" if value is None or pd.isna(value) else str(value)

    @property
    def calibrated(self) -> bool:
        """Whether every latency sample has its sample of the fixed workload."""
        found = (self.samples.get(name, ()) for name in ("latency_ms", "calibration_ms"))
        timed, fixed = ([len(group) for group in groups] for groups in found)
        return bool(timed) and timed == fixed

    def value(self, metric: str) -> float | None:
        """The metric as recorded; of pooled runs the geometric mean of their processes' medians."""
        recorded: float | None = self.row.get(metric)
        quantity = next((name for name in METRICS[metric] if name in self.samples), "")
        groups = [group for group in self.samples.get(quantity, ()) if group]
        if self.runs == 1 or not groups:
            return recorded
        middle = math.exp(location([np.log(group) for group in groups]))
        return 1e3 * self.row["batch_size"] / middle if COLUMNS[metric].kind is QuantityKind.rate else middle

    def pooled(self, other: Measurement) -> Measurement:
        """The same case of two runs: their processes together; if it failed in one of them, that failure."""
        if not (self.ok and other.ok):
            return other if self.ok else self
        samples = {name: [*self.samples[name], *other.samples[name]] for name in self.samples if name in other.samples}
        row = {**self.row, "marks": ";".join(sorted(self.marks | other.marks))}
        if self.kernel_time_source != other.kernel_time_source:
            samples.pop("kernel_ms", None)
            row |= dict.fromkeys(of_source("kernel_time_source"))
        return Measurement(row, samples, self.runs + other.runs)


@dataclass(frozen=True)
class Side:
    """What one side of a comparison consists of.

    Attributes:
        name: its runs.
        fingerprint: what its numbers depend on beside the code.
        cases: settings (in the order of SETTINGS) -> what was measured.
    """

    name: str
    fingerprint: Mapping[str, str]
    cases: Mapping[tuple[Any, ...], Measurement]

    def as_known_to_a_frame(self) -> Side:
        """Without what a frame does not know of a run's fingerprint."""
        if set(self.fingerprint) <= set(FRAME_FINGERPRINT):
            return self
        known = {
            "protocol": self.fingerprint["protocol"],
            "device_name": self.fingerprint["device_name"],
            "torch_version": self.fingerprint["torch"],
            "fingerprint": digest(self.fingerprint),
        }
        return Side(self.name, known, self.cases)


def open_side(source: Any) -> Side:
    """Read one side.

    Args:
        source: a run's folder, a glob pattern, several of those, a `vigbench.Run`, or a frame of `load_results`.

    Raises:
        ValueError: if there is no run, or its runs do not compare with one another.
    """
    if isinstance(source, pd.DataFrame):
        return _from_frame(source)
    stores = _stores(source)
    prints = {str(store.folder): fingerprint(store.info()) for store in stores}
    first = next(iter(prints))
    for folder, found in prints.items():
        require_comparable(first, prints[first], folder, found, ())
    cases: dict[tuple[Any, ...], Measurement] = {}
    for store in stores:
        for record in store.records():
            samples = store.samples(record.case_id)
            _require_times(samples, store, record.case_id)
            measured = Measurement(record.row(), samples)
            key = _key(measured.row)
            cases[key] = cases[key].pooled(measured) if key in cases else measured
    return Side(", ".join(store.folder.name for store in stores), prints[first], cases)


def _require_times(samples: Mapping[str, Sequence[Sequence[float]]], store: RunStore, case_id: str) -> None:
    compared = {quantity for quantities in METRICS.values() for quantity in quantities} | {"calibration_ms"}
    for quantity, groups in ((name, groups) for name, groups in samples.items() if name in compared):
        if wrong := [value for group in groups for value in group if not 0 < value < math.inf]:
            file = store.folder / "samples" / f"{case_id}.csv"
            raise ValueError(f"{file} is damaged: {quantity} is {wrong[0]}, which is no time of a call.")


def require_comparable(
    base: str, base_print: Mapping[str, str], head: str, head_print: Mapping[str, str], across: Sequence[str]
) -> None:
    """Raise ValueError, naming every field that differs, unless it is one that is compared on purpose.

    Args:
        base, head: names of the two, for the message.
        across: fields that may differ.
    """
    for name in across:
        if name not in (*FIELDS, *FRAME_FINGERPRINT):
            raise ValueError(f"There is no field {name!r} to compare across{did_you_mean(name, FIELDS)} "
                             f"Fields: {one_of(FIELDS)}.")  # fmt: skip
    found = {name: pair for name, pair in differences(base_print, head_print).items() if name not in across}
    if found:
        named = "; ".join(
            f"{name}: {left or 'unknown'} against {right or 'unknown'}" for name, (left, right) in found.items()
        )
        raise ValueError(
            f"{base} and {head} do not compare: {named}. If that difference is what you want to see, name it: "
            f"--across {','.join(found)}."
        )


def _stores(source: Any) -> list[RunStore]:
    folder = getattr(source, "folder", source)
    patterns = [folder] if isinstance(folder, str | Path) else [getattr(run, "folder", run) for run in folder]
    folders: list[Path] = []
    for pattern in map(str, patterns):
        runs = [folder for folder in matching(pattern) if (folder / "run.json").is_file()]
        if not runs:
            raise ValueError(f"{pattern} is not a run; runs are folders such as results/<suite>-<device>-<time>.")
        folders += runs
    return [RunStore.open(path) for path in {path.resolve(): path for path in folders}.values()]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row's settings; what a case does not have is None, also where a frame holds NaN or an empty text."""
    values = [row.get(name, _DEFAULTS[name]) for name in SETTINGS]
    return tuple(None if pd.isna(value) or value == "" else value for value in values)


def _from_frame(frame: pd.DataFrame) -> Side:
    missing = [name for name in (*NEEDED, "status", "latency_ms") if name not in frame]
    if missing:
        raise ValueError(f"The frame lacks {one_of(missing)}; pass one from vigbench.load_results, or a run's folder.")
    known = [name for name in FRAME_FINGERPRINT if name in frame]
    prints = {name: ", ".join(sorted(map(str, frame[name].unique()))) for name in known}
    rows: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    cases = {_key(row): Measurement(row) for row in rows}
    if len(cases) < len(rows):
        raise ValueError(
            "The frame has a case more than once: its runs cannot be pooled without their raw samples. Pass the runs' "
            "folders, or the rows of one run."
        )
    name = ", ".join(sorted(map(str, frame["run"].unique()))) if "run" in frame else "the frame"
    return Side(name, prints, cases)
