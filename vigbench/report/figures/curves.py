"""Panels of one metric: lines over resolution or length, and dots where there is one size only."""

from __future__ import annotations

from collections.abc import Sequence

from vigbench.report.curves import Panel, SubjectCurve
from vigbench.report.figures.bars import BarChart, BarRow
from vigbench.report.figures.lines import lines_cell
from vigbench.report.figures.sheet import Cell
from vigbench.report.metrics import Metric, number
from vigbench.report.style import END_MARKS, MARKERS, OTHER_END, colours


def curve_cells(metric: Metric, panels: Sequence[Panel]) -> list[Cell]:
    """A panel of a sheet for each setting."""
    return [
        lines_cell(_named(metric, panel), panel) if len(panel.extents) > 1 else _dots(metric, panel) for panel in panels
    ]


def _named(metric: Metric, panel: Panel) -> str:
    shown = metric.of(panel.setting.unit)
    return f"{shown.name} ({shown.unit})"


def _dots(metric: Metric, panel: Panel) -> Cell:
    """A row for each curve, the best on top, a whisker for the interval; failed ones below with their status."""
    measured = [curve for curve in panel.curves if curve.drawn]
    measured.sort(key=lambda curve: curve.drawn[0].value, reverse=metric.higher_is_better)
    failed = [curve for curve in panel.curves if not curve.drawn and curve.failed]
    name = f"{_named(metric, panel)} at {panel.setting.sweep.text(panel.extents[0])}"
    return BarChart(name, [*map(_dot, measured), *map(_failure, failed)]).cell(panel.title)


def _dot(curve: SubjectCurve) -> BarRow:
    colour, point = colours(curve.family), curve.drawn[0]
    return BarRow(
        curve.label,
        colour.text,
        colour.line,
        [point.value],
        end=number(point.value),
        marker=MARKERS[curve.size],
        interval=point.interval,
        hollow=bool(curve.left_out),
    )


def _failure(curve: SubjectCurve) -> BarRow:
    colour, status = colours(curve.family), curve.failed[0][1]
    marker = END_MARKS.get(status, OTHER_END)[0]
    return BarRow(curve.label, colour.text, colour.line, [], end=status.replace("_", " "), marker=marker)
