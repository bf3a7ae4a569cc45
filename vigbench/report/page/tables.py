"""The tables of all cases and of those without a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigbench.report.metrics import METRICS, OPERATOR_METRICS, TABLE_METRICS, Metric
from vigbench.report.page.cells import TableCell, marks_text, setting_cell, size_cell, value_cell
from vigbench.report.rows import SETTINGS, Row

MODELS_ONLY = set(METRICS) - set(OPERATOR_METRICS)
NUMERIC = ("batch_size", "threads")
OPTIONAL = [axis for axis in SETTINGS if axis.name not in ("batch_size", "precision", "phase", "threads")]
HEADS = {"batch_size": "Batch"} | {axis.name: axis.title for axis in SETTINGS if axis.title}


@dataclass(frozen=True)
class TableLayout:
    """The columns of the table of all cases.

    Attributes:
        name: what a subject is called.
        sizes: `resolution`, `length` or both.
        settings: columns of the records that are settings, in order.
        metrics: those that were measured.
        marked: whether any case has marks.
        item: what one item of a batch is, in all cases; else just that.
    """

    name: str
    sizes: tuple[str, ...]
    settings: tuple[str, ...]
    metrics: tuple[Metric, ...]
    marked: bool
    item: str

    def heads(self) -> list[tuple[str, str, bool]]:
        """Name, unit, numeric."""
        sized = {"resolution": ("Resolution", "px", True), "length": ("Length", "tokens", True)}
        heads = [(self.name, "", False), *(sized[size] for size in self.sizes)]
        heads += [(_head(name), "", name in NUMERIC) for name in self.settings]
        heads += [("Status", "", False)]
        for metric in self.metrics:
            shown = metric.of(self.item)
            heads.append((shown.name.removesuffix(f" per {shown.item}"), shown.unit, True))
        return heads + [("Marks", "", False)] * self.marked


def _head(name: str) -> str:
    return HEADS.get(name, name.replace("_", " ").capitalize())


@dataclass(frozen=True)
class FailedCase:
    """A case that is not ok, every field a text for people."""

    label: str
    whole: str
    setting: str
    status: str
    reason: str


@dataclass(frozen=True)
class CaseTables:
    """The cells of the first cases, in the columns of all, and what failed."""

    layout: TableLayout
    rows: Sequence[Sequence[TableCell]]
    failures: Sequence[FailedCase]


def case_tables(rows: Sequence[Row], most: int | None = None) -> CaseTables:
    """Both tables; of all cases the first `most`."""
    columns = _layout(rows)
    return CaseTables(
        columns,
        [_cells(row, columns) for row in rows[:most]],
        [_failed(row) for row in rows if row["status"] != "ok"],
    )


def _layout(rows: Sequence[Row]) -> TableLayout:
    """The columns for these cases; optional settings get one only where they vary or are set."""
    models, operators = any(not row["shape"] for row in rows), any(row["shape"] for row in rows)
    extra = [name for name in ("phase", "device", "device_name", "run") if len({row[name] for row in rows}) > 1]
    extra += [axis.name for axis in OPTIONAL if any(row[axis.name] not in ("", axis.default) for row in rows)]
    extra += ["threads"] if len({row["threads"] for row in rows}) > 1 else []
    measured = [metric for metric in TABLE_METRICS if any(row[metric.column] is not None for row in rows)]
    return TableLayout(
        "Model" if not operators else "Subject" if models else "Operator",
        ("resolution",) * models + ("length",) * operators,
        ("shape",) * operators + ("batch_size", "precision", *extra),
        tuple(metric for metric in measured if models or metric not in MODELS_ONLY),
        any(row["marks"] for row in rows),
        units.pop() if len(units := {row["unit"] for row in rows}) == 1 else "item",
    )


def _cells(row: Row, columns: TableLayout) -> list[TableCell]:
    cells: list[TableCell] = [(row["label"], None, row["whole"])]
    cells += [size_cell(row[size]) for size in columns.sizes]
    cells += [setting_cell(row, name) for name in columns.settings]
    cells += [(row["status"].replace("_", " "), None, "")]
    cells += [value_cell(row, metric) for metric in columns.metrics]
    return cells + ([(marks_text(row), None, "")] if columns.marked else [])


def _failed(row: Row) -> FailedCase:
    setting = row["setting"]
    return FailedCase(
        row["label"],
        row["whole"],
        f"{setting.sweep.text(row['extent'])}, {setting.text()}",
        row["status"].replace("_", " "),
        row["reason"] or "no reason recorded",
    )
