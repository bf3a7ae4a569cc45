"""A frame of records as plain rows: missing values are None, settings have their types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from vigbench.analysis.disturbance import LEFT_OUT, left_out
from vigbench.records.column import Units
from vigbench.records.metrics import COLUMNS
from vigbench.records.schema import columns
from vigbench.report.names import labels, whole_name
from vigbench.suites.arguments import with_args
from vigbench.suites.axes import ALL, AXES, Axis
from vigbench.suites.resolution import aspect_of, mean_side, read_resolution, resolution_at

Row = Mapping[str, Any]
"""The columns of a record, the subject with its arguments, and what is worked out of them once.

`setting`, `extent` (mean side of the resolution, or length), `shape` (of an operator, else empty), `label` (readable,
and unique among the cases), `name` (the same without the implementation), `whole` (as it was asked for), `left_out`
(columns whose value carries no conclusion).
"""

FRONT = ("run", "suite", "protocol", "device_name", "torch_version")
SHAPE = ("heads", "key_dim", "value_dim")
TEXTS = (
    "subject",
    "args",
    "family",
    "implementation",
    "unit",
    "status",
    "reason",
    "device",
    "marks",
    "run",
    "device_name",
)
COUNTS = ("length", *SHAPE, "batch_size", "threads")
NUMBERS = frozenset(metric for metric, column in COLUMNS.items() if column.unit not in (Units.text, Units.px))
# precision leads a line of settings
SETTINGS = (AXES["precision"], *(axis for axis in ALL if not axis.of_size and axis.name != "precision"))


@dataclass(frozen=True)
class Sweep:
    """What grows along the horizontal axis; sizes of other proportions than a square's are shown with all sides."""

    name: str
    unit: str
    aspect: str = ""

    def size(self, extent: float) -> str:
        """`1024`, `448x640`."""
        return str(resolution_at(self.aspect, extent))

    def text(self, extent: float) -> str:
        """`1024 px`, `65536 tokens`."""
        return f"{self.size(extent)} {self.unit}"


@dataclass(frozen=True, order=True)
class Setting:
    """Everything but subject, implementation and resolution or length: what one curve may never mix."""

    run: str  # where it was measured; empty where the frame holds one run only
    device: str
    shape: tuple[int, ...]  # an operator's heads, key_dim and value_dim; empty for models
    values: tuple[Any, ...]  # of the axes in SETTINGS
    aspect: str = ""  # the sides' proportions where they differ
    unit: str = "image"  # what one item is

    @property
    def sweep(self) -> Sweep:
        """What its curves run over."""
        return Sweep("Length", "tokens") if self.shape else Sweep("Resolution", "px", self.aspect)

    def value(self, axis: str) -> Any:
        """Its value on an axis."""
        return self.values[_PLACE[axis]]

    def with_value(self, axis: str, value: Any) -> Setting:
        """The same with another value on an axis."""
        values = list(self.values)
        values[_PLACE[axis]] = value
        return replace(self, values=tuple(values))

    def text(self) -> str:
        """One line for people."""
        return ", ".join(self.parts())

    def parts(self) -> list[str]:
        """What the line is made of."""
        parts = [shape_text(self.shape)] if self.shape else []
        parts += [f"sides {self.aspect}"] if self.aspect else []
        parts += [axis.in_words(value) for axis, value in zip(SETTINGS, self.values, strict=True)]
        return [part for part in (*parts, self.run) if part]


_PLACE = {axis.name: place for place, axis in enumerate(SETTINGS)}


def shape_text(shape: Sequence[int]) -> str:
    """`3 heads of 32/64`: key and value channels."""
    heads, key_dim, value_dim = shape
    return f"{heads} head{'s' * (heads > 1)} of {key_dim}/{value_dim}"


def brief_texts(settings: Sequence[Setting]) -> dict[Setting, str]:
    """What tells each setting from the others; its whole text where that is nothing."""
    shared = set.intersection(*(set(setting.parts()) for setting in settings)) if settings else set()
    own = {setting: ", ".join(part for part in setting.parts() if part not in shared) for setting in settings}
    clear = len(set(own.values())) == len(own) and all(own.values())
    return own if clear else {setting: setting.text() for setting in settings}


@dataclass(frozen=True)
class Cases:
    """The cases of a frame in its order; the same by setting, the setting with the most results first."""

    rows: Sequence[Row]
    groups: Mapping[Setting, Sequence[Row]]


def read_cases(frame: pd.DataFrame) -> Cases:
    """One plain dictionary a case; a column that the frame lacks is None everywhere.

    Settings tell runs apart: by the device where each has its own, else by the run's name; not where there is one run.
    """
    names = [*FRONT, *columns()]
    columns_of = {name: frame[name].tolist() if name in frame.columns else [None] * len(frame) for name in names}
    rows = [_tidy(dict(zip(names, values, strict=True))) for values in zip(*columns_of.values(), strict=True)]
    device_of = {row["run"]: row["device_name"] for row in rows}
    own_device = len(set(device_of.values())) == len(device_of)
    keys = {(row["subject"], row["implementation"]) for row in rows}
    label, name_of = labels(keys), labels((subject, "") for subject, _ in keys)
    groups: dict[Setting, list[Row]] = {}
    for row, unsound in zip(rows, left_out(rows), strict=True):
        subject, implementation = row["subject"], row["implementation"]
        where = "" if len(device_of) == 1 else row["device_name" if own_device else "run"]
        values = tuple(row[axis.name] for axis in SETTINGS)
        row["setting"] = Setting(where, row["device"], row["shape"], values, aspect_of(row["resolution"]), row["unit"])
        row["label"], row["name"] = label[subject, implementation], name_of[subject, ""]
        row["whole"], row[LEFT_OUT] = whole_name(subject, implementation), unsound
        groups.setdefault(row["setting"], []).append(row)
    finished = {setting: sum(row["status"] == "ok" for row in group) for setting, group in groups.items()}
    return Cases(
        rows,
        {setting: groups[setting] for setting in sorted(groups, key=lambda setting: (-finished[setting], setting))},
    )


def _tidy(raw: dict[str, Any]) -> dict[str, Any]:
    row = {name: None if _missing(value) else value for name, value in raw.items()}
    for name in NUMBERS:
        value = row[name]
        row[name] = float(value) if value is not None and math.isfinite(float(value)) else None
    for name in COUNTS:
        row[name] = int(row[name] or 0)
    row["resolution"] = read_resolution(row["resolution"]) if row["resolution"] else 0
    row["shape"] = tuple(row[name] for name in SHAPE) if row["length"] else ()
    row["extent"] = row["length"] or mean_side(row["resolution"] or 0)
    for axis in SETTINGS:
        row[axis.name] = row[axis.name] if axis.name in COUNTS else _setting(row[axis.name], axis)
    for name in TEXTS:
        row[name] = str(row[name] or "")
    row["subject"] = with_args(str(row["subject"]), str(row["args"]))  # another model than the subject alone
    return row


def _setting(value: Any, axis: Axis) -> Any:
    """A value as the axis has it, or its default; as a text, which sorts with none, where a case need not have it."""
    if axis.default is None:
        return "" if value is None else str(axis.read(value))
    return axis.read(axis.default if value is None else value)


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
