"""The rows of the page's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vigbench.report.metrics import METRICS, OPERATOR_METRICS, TABLE_METRICS, Metric, number
from vigbench.report.names import labels
from vigbench.report.rows import FLAGS, Row, setting_of, shape_text

MODELS_ONLY = set(METRICS) - set(OPERATOR_METRICS)
Cell = tuple[str, float | None, str]  # text, value to sort by, tooltip


@dataclass(frozen=True)
class Table:
    """Heads with their units, and cells."""

    heads: list[tuple[str, str, bool]]  # name, unit, numeric
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Layout:
    """The columns of the table of all cases.

    Attributes:
        sizes: `resolution`, `length` or both.
        settings: columns of the records that are settings, in order.
        metrics: those that were measured.
        marked: whether any case has marks.
    """

    name: str
    sizes: tuple[str, ...]
    settings: tuple[str, ...]
    metrics: tuple[Metric, ...]
    marked: bool

    def heads(self) -> list[tuple[str, str, bool]]:
        """Name, unit, numeric."""
        sized = {"resolution": ("Resolution", "px", True), "length": ("Length", "tokens", True)}
        models = "resolution" in self.sizes
        heads = [(self.name, "", False), *(sized[size] for size in self.sizes)]
        heads += [(_head(name), "", name in NUMERIC) for name in self.settings]
        heads += [("Status", "", False)]
        for metric in self.metrics:
            unit = metric.unit if models else metric.unit.replace("images", "sequences")
            heads.append((metric.name.replace(" per image", ""), unit, True))
        return heads + [("Marks", "", False)] * self.marked


NUMERIC = ("batch_size", "threads")


def _head(name: str) -> str:
    return {"batch_size": "Batch", "tf32": "TF32", "cuda_graph": "CUDA graph"}.get(
        name, name.replace("_", " ").capitalize()
    )


def layout(rows: Sequence[Row]) -> Layout:
    """The columns for these cases; optional settings get one only where they vary or are set."""
    models, operators = any(not row["shape"] for row in rows), any(row["shape"] for row in rows)
    extra = [name for name in ("phase", "device", "device_name", "run") if len({row[name] for row in rows}) > 1]
    extra += [name for name in FLAGS if any(row[name] for row in rows)]
    extra += ["threads"] if len({row["threads"] for row in rows}) > 1 else []
    measured = [metric for metric in TABLE_METRICS if any(row[metric.column] is not None for row in rows)]
    return Layout(
        "Model" if not operators else "Subject" if models else "Operator",
        ("resolution",) * models + ("length",) * operators,
        ("shape",) * operators + ("batch_size", "precision", *extra),
        tuple(metric for metric in measured if models or metric not in MODELS_ONLY),
        any(row["marks"] for row in rows),
    )


def case_table(rows: Sequence[Row], most: int | None = None) -> Table:
    """Every case, or the first `most`; the columns are those of all."""
    names, columns = labels(rows), layout(rows)
    body = []
    for row in rows[:most]:
        cells: list[Cell] = [(names[row["subject"], row["implementation"]], None, whole_name(row))]
        cells += [_count_cell(row[size]) for size in columns.sizes]
        cells += [setting_cell(row, name) for name in columns.settings]
        cells += [(row["status"].replace("_", " "), None, "")]
        cells += [
            (number(row[metric.column]), row[metric.column], interval_text(row, metric)) for metric in columns.metrics
        ]
        cells += [(marks_text(row), None, "")] if columns.marked else []
        body.append(cells)
    return Table(columns.heads(), body)


def marks_text(row: Row) -> str:
    """`not converged, contended`."""
    return str(row["marks"]).replace(";", ", ").replace("_", " ")


def whole_name(row: Row) -> str:
    """The subject as it was asked for, with its implementation where there is a choice."""
    chosen = row["implementation"] not in ("", "default")
    return f"{row['subject']} [{row['implementation']}]" if chosen else str(row["subject"])


def _count_cell(count: int) -> Cell:
    return (str(count), float(count), "") if count else ("", None, "")


def setting_cell(row: Row, name: str) -> Cell:
    """One setting of a case."""
    value = row[name]
    if name == "shape":
        return (shape_text(value) if value else "", None, "")
    if isinstance(value, bool):
        return ("yes" if value else "no", None, "")
    return (str(value), float(value), "") if isinstance(value, int) else (str(value), None, "")


def interval_text(row: Row, metric: Metric) -> str:
    """The 95% interval of a value in words; empty where there is none."""
    low, high = (row[name] if name else None for name in (metric.low, metric.high))
    return f"95% interval {number(low)} to {number(high)} {metric.unit}" if low is not None and high is not None else ""


def failures(rows: Sequence[Row]) -> list[tuple[str, str, str, str, str]]:
    """(label, whole name, setting, status, reason) of every case that is not ok."""
    names = labels(rows)
    return [
        (
            names[row["subject"], row["implementation"]],
            whole_name(row),
            f"{setting_of(row).sweep.text(row['extent'])}, {setting_of(row).text()}",
            row["status"].replace("_", " "),
            row["reason"] or "no reason recorded",
        )
        for row in rows
        if row["status"] != "ok"
    ]


def flatten(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """A nested environment as (dotted name, text)."""
    if isinstance(value, Mapping):
        return [
            pair for key, inner in value.items() for pair in flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list | tuple):
        return [(prefix, ", ".join(_plain(item) for item in value))]
    return [(prefix, _plain(value))]


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
