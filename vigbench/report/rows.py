"""A frame of records as plain rows: missing values are None, settings have their types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import itemgetter
from typing import Any

import pandas as pd

from vigbench.records.schema import columns
from vigbench.report.names import labels, whole_name

Row = Mapping[str, Any]
"""The columns of a record, and what is worked out of them once.

`setting`, `extent` (resolution or length), `shape` (of an operator, else empty), `label` (readable, and unique among
the cases), `name` (the same without the implementation), `whole` (as it was asked for).
"""

FRONT = ("run", "suite", "protocol", "device_name", "torch_version")
FLAGS = ("compile", "cuda_graph", "channels_last", "tf32")
SHAPE = ("heads", "key_dim", "value_dim")
TEXTS = ("subject", "family", "implementation", "status", "reason", "precision", "phase", "device", "marks", "run",
         "device_name")  # fmt: skip
COUNTS = ("resolution", "length", *SHAPE, "batch_size", "threads")
NUMBERS = frozenset(name for name in columns() if name.endswith(("_ms", "_mib", "_per_s", "_share", "gmacs")))


@dataclass(frozen=True)
class Sweep:
    """What grows along the horizontal axis."""

    name: str
    unit: str

    def text(self, extent: int) -> str:
        """`1024 px`, `65536 tokens`."""
        return f"{extent} {self.unit}"


RESOLUTION, LENGTH = Sweep("Resolution", "px"), Sweep("Length", "tokens")


@dataclass(frozen=True, order=True)
class Setting:
    """Everything but subject, implementation and resolution or length: what one curve may never mix."""

    run: str  # where it was measured; empty where the frame holds one run only
    device: str
    shape: tuple[int, ...]  # an operator's heads, key_dim and value_dim; empty for models
    precision: str
    batch_size: int
    phase: str
    compile: bool
    cuda_graph: bool
    channels_last: bool
    tf32: bool
    threads: int

    @property
    def sweep(self) -> Sweep:
        """What its curves run over."""
        return LENGTH if self.shape else RESOLUTION

    def text(self) -> str:
        """One line for people."""
        return ", ".join(self.parts())

    def parts(self) -> list[str]:
        """What the line is made of."""
        parts = [shape_text(self.shape)] if self.shape else []
        parts += [self.precision, f"batch {self.batch_size}", self.phase.replace("_", " ")]
        parts += ["compiled"] * self.compile + ["CUDA graph"] * self.cuda_graph
        parts += ["channels last"] * self.channels_last + ["TF32"] * self.tf32
        parts += [f"{self.threads} thread{'s' * (self.threads > 1)}"] if self.threads else []
        return [*parts, *([self.run] if self.run else [])]


_settings = itemgetter(*(one.name for one in fields(Setting) if one.name != "run"))


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
    for row in rows:
        subject, implementation = row["subject"], row["implementation"]
        where = "" if len(device_of) == 1 else row["device_name" if own_device else "run"]
        row["setting"] = Setting(where, *_settings(row))
        row["label"], row["name"] = label[subject, implementation], name_of[subject, ""]
        row["whole"] = whole_name(subject, implementation)
        groups.setdefault(row["setting"], []).append(row)
    finished = {setting: sum(row["status"] == "ok" for row in group) for setting, group in groups.items()}
    return Cases(rows, {one: groups[one] for one in sorted(groups, key=lambda one: (-finished[one], one))})


def _tidy(raw: dict[str, Any]) -> dict[str, Any]:
    row = {name: None if _missing(value) else value for name, value in raw.items()}
    for name in NUMBERS:
        value = row[name]
        row[name] = float(value) if value is not None and math.isfinite(float(value)) else None
    for name in COUNTS:
        row[name] = int(row[name] or 0)
    row["shape"] = tuple(row[name] for name in SHAPE) if row["length"] else ()
    row["extent"] = row["length"] or row["resolution"]
    for name in FLAGS:
        row[name] = str(row[name]).lower() == "true"  # a CSV file read without types holds "True"
    for name in TEXTS:
        row[name] = str(row[name] or "")
    return row


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
