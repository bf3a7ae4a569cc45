"""A picture of one metric: a panel for each setting, with or without its own heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from matplotlib.figure import Figure

from vigbench.report.curves import Panel
from vigbench.report.figures.dots import draw_dots
from vigbench.report.figures.labels import LINE, REACH
from vigbench.report.figures.lines import draw_lines
from vigbench.report.figures.sheet import Cell, Heading, compose, share_of, write
from vigbench.report.figures.text import shorten, text_width
from vigbench.report.metrics import Metric
from vigbench.report.style import MUTED

LEFT, ABOVE, BELOW = 34.0, 16.0, 34.0  # margins of a panel, points
PLOT, DOT_ROW, BELOW_DOTS = 215.0, 19.0, 22.0


def draw(metric: Metric, panels: Sequence[Panel], width: float, heading: Heading | None = None) -> Figure:
    """The picture, `width` points wide; two panels side by side where there is room. Call it inside `style.look`."""
    cells = [Cell(panel.title, _height(panel), partial(_draw_panel, metric, panel)) for panel in panels]
    return compose(cells, width, heading)


def _draw_panel(metric: Metric, whole: Panel, figure: Figure, corner: tuple[float, float], room: float) -> None:
    x, y = corner
    panel = _fit(whole, room)
    names = max(text_width(curve.label) for curve in panel.curves)
    dots = len(panel.extents) == 1
    left, right = (names + 12, 44.0) if dots else (_left(panel), names + REACH + 4)
    sweep = panel.setting.sweep
    unit = f"{metric.name_in(panel.setting)} ({metric.unit})" + (f" at {sweep.text(panel.extents[0])}" if dots else "")
    write(figure, x, y - 9, unit, 8.0, "normal", MUTED)
    width, height = room - left - right, _height(panel) - ABOVE - (BELOW_DOTS if dots else BELOW)
    base = y - ABOVE - height
    axes = figure.add_axes(share_of(figure, (x + left, base, width, height)), label=f"{panel.setting}")
    if dots:
        draw_dots(axes, panel, metric)
    else:
        draw_lines(axes, panel, (width, height), text_width)
        middle = x + left + width / 2
        write(figure, middle, base - 27, f"{sweep.name} ({sweep.unit})", 8.0, "normal", MUTED, align="center")


def _fit(panel: Panel, width: float) -> Panel:
    """Labels may take a third of the panel."""
    curves = tuple(replace(curve, label=shorten(curve.label, max(70.0, width / 3))) for curve in panel.curves)
    return replace(panel, curves=curves)


def _left(panel: Panel) -> float:
    """Room for the longest tick label."""
    return max(LEFT, text_width(f"{max(point.value for curve in panel.curves for point in curve.points):,.0f}") + 8)


def _height(panel: Panel) -> float:
    if len(panel.extents) == 1:
        rows = sum(bool(curve.points or curve.failed) for curve in panel.curves)
        return ABOVE + BELOW_DOTS + DOT_ROW * rows
    return ABOVE + BELOW + max(PLOT, 1.4 * LINE * len(panel.curves))
