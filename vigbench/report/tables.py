"""The rows of the page's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vigbench.report.metrics import METRICS, OPERATOR_METRICS, TABLE_METRICS, Metric, number
from vigbench.report.names import labels
from vigbench.report.rows import Row, setting_of, shape_text

MODELS_ONLY = set(METRICS) - set(OPERATOR_METRICS)
Cell = tuple[str, float | None, str]  # text, value to sort by, tooltip


@dataclass(frozen=True)
class Table:
    """Heads with their units, and cells."""

    heads: list[tuple[str, str, bool]]  # name, unit, numeric
    rows: list[list[Cell]]


def case_table(rows: Sequence[Row]) -> Table:
    """Every case; optional settings get a column only where they vary or are set."""
    names = labels(rows)
    models, operators = any(not row["shape"] for row in rows), any(row["shape"] for row in rows)
    extra = [name for name in ("phase", "device", "run") if len({row[name] for row in rows}) > 1]
    extra += [name for name in ("compile", "cuda_graph", "channels_last", "tf32") if any(row[name] for row in rows)]
    extra += ["threads"] if len({row["threads"] for row in rows}) > 1 else []
    measured = [metric for metric in TABLE_METRICS if any(row[metric.column] is not None for row in rows)]
    metrics = [metric for metric in measured if models or metric not in MODELS_ONLY]
    marked = any(row["marks"] for row in rows)
    heads = [("Model" if not operators else "Subject" if models else "Operator", "", False)]
    heads += [("Resolution", "px", True)] * models + [("Length", "tokens", True), ("Shape", "", False)] * operators
    heads += [("Batch", "", True), ("Precision", "", False)]
    heads += [(name.replace("_", " ").capitalize(), "", name == "threads") for name in extra]
    heads += [("Status", "", False)]
    heads += [
        (
            metric.name.replace(" per image", ""),
            metric.unit if models else metric.unit.replace("images", "sequences"),
            True,
        )
        for metric in metrics
    ]
    heads += [("Marks", "", False)] * marked
    body = []
    for row in rows:
        cells: list[Cell] = [(names[row["subject"], row["implementation"]], None, whole_name(row))]
        cells += [_count_cell(row["resolution"])] * models
        cells += [_count_cell(row["length"]), (shape_text(row["shape"]) if row["shape"] else "", None, "")] * operators
        cells += [_count_cell(row["batch_size"])]
        cells += [(row["precision"], None, "")]
        cells += [_setting_cell(row[name]) for name in extra]
        cells += [(row["status"].replace("_", " "), None, "")]
        cells += [(number(row[metric.column]), row[metric.column], interval_text(row, metric)) for metric in metrics]
        cells += [(row["marks"].replace(";", ", ").replace("_", " "), None, "")] if marked else []
        body.append(cells)
    return Table(heads, body)


def whole_name(row: Row) -> str:
    """The subject as it was asked for, with its implementation where there is a choice."""
    chosen = row["implementation"] not in ("", "default")
    return f"{row['subject']} [{row['implementation']}]" if chosen else str(row["subject"])


def _count_cell(count: int) -> Cell:
    return (str(count), float(count), "") if count else ("", None, "")


def _setting_cell(value: object) -> Cell:
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
