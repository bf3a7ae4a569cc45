"""Cells of the page's tables: settings, marks and intervals as text."""

from __future__ import annotations

from vigbench.report.curves import interval_of
from vigbench.report.metrics import Metric, number
from vigbench.report.rows import Row, shape_text
from vigbench.suites.resolution import Resolution, mean_side

TableCell = tuple[str, float | None, str]  # text, value to sort by, tooltip


def size_cell(size: Resolution) -> TableCell:
    """A size; empty where a case has none."""
    return (str(size), float(mean_side(size)), "") if size else ("", None, "")


def setting_cell(row: Row, name: str) -> TableCell:
    """One setting of a case."""
    value = row[name]
    if name == "shape":
        return (shape_text(value) if value else "", None, "")
    if isinstance(value, bool):
        return ("yes" if value else "no", None, "")
    return (str(value), float(value), "") if isinstance(value, int) else (str(value), None, "")


def value_cell(row: Row, metric: Metric) -> TableCell:
    """A measured value; its tooltip is the interval."""
    return (number(row[metric.column]), row[metric.column], interval_text(row, metric))


def interval_text(row: Row, metric: Metric) -> str:
    """The 95% interval of a value in words; empty where there is none."""
    interval = interval_of(row, metric)
    return (
        f"95% interval {number(interval[0])} to {number(interval[1])} {metric.of(row['unit']).unit}" if interval else ""
    )


def marks_text(row: Row) -> str:
    """`not converged, contended`."""
    return str(row["marks"]).replace(";", ", ").replace("_", " ")
