"""A picture of one metric: a panel for each setting, with or without its own heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vigbench.report.curves import Panel
from vigbench.report.dots import draw_dots
from vigbench.report.labels import LINE, REACH
from vigbench.report.lines import draw_lines
from vigbench.report.metrics import Metric
from vigbench.report.style import INK, MUTED
from vigbench.report.text import shorten, text_width, wrap

LEFT, ABOVE, BELOW, BETWEEN = 34.0, 16.0, 34.0, 22.0  # margins of a panel, points
PLOT, DOT_ROW, TITLE_ROW, BELOW_DOTS = 215.0, 19.0, 15.0, 22.0


@dataclass(frozen=True)
class Heading:
    """What a picture that stands alone must say itself."""

    title: str
    subtitle: str
    notes: Sequence[str]


def draw(metric: Metric, panels: Sequence[Panel], width: float, heading: Heading | None = None) -> Figure:
    """The picture, `width` points wide; two panels side by side where there is room. Call it inside `style.look`."""
    columns = 2 if len(panels) > 1 and width > 500 else 1
    column = (width - (columns - 1) * BETWEEN) / columns
    titled = len(panels) > 1
    grid = [[_fit(panel, column) for panel in row] for row in _chunks(panels, columns)]
    heights = [max(_height(panel) for panel in row) + (TITLE_ROW + BETWEEN / 2) * titled for row in grid]
    above = _text_lines(heading, width) if heading else []
    below = (
        [(line, 7.5, "normal", MUTED) for note in heading.notes for line in wrap(note, width, 7.5)] if heading else []
    )
    margin = 14.0 if heading else 0.0
    top = margin + sum(_leading(size) for _, size, _, _ in above) + (8 if above else 0)
    bottom = margin + sum(_leading(size) for _, size, _, _ in below) + (6 if below else 0)
    total = top + sum(heights) + bottom
    figure = Figure(figsize=((width + 2 * margin) / 72, total / 72), dpi=72)
    FigureCanvasAgg(figure)
    _write(figure, above, margin, total - margin)
    _write(figure, below, margin, bottom - 6)
    y = total - top
    for row, height in zip(grid, heights, strict=True):
        for index, panel in enumerate(row):
            _draw_panel(figure, metric, panel, (margin + index * (column + BETWEEN), y), (column, height), titled)
        y -= height
    return figure


def _draw_panel(
    figure: Figure, metric: Metric, panel: Panel, corner: tuple[float, float], room: tuple[float, float], titled: bool
) -> None:
    x, y = corner
    names = max(text_width(curve.label) for curve in panel.curves)
    dots = len(panel.extents) == 1
    left, right = (names + 12, 44.0) if dots else (_left(panel), names + REACH + 4)
    if titled:
        y -= TITLE_ROW
        _text(figure, x, y + 3, shorten(panel.title, room[0]), 8.5, "bold", INK)
    sweep = panel.setting.sweep
    unit = f"{metric.name_in(panel.setting)} ({metric.unit})" + (f" at {sweep.text(panel.extents[0])}" if dots else "")
    _text(figure, x, y - 9, unit, 8.0, "normal", MUTED)
    width, height = room[0] - left - right, _height(panel) - ABOVE - (BELOW_DOTS if dots else BELOW)
    base = y - ABOVE - height
    total_width, total_height = figure.get_size_inches() * 72
    axes = figure.add_axes(
        ((x + left) / total_width, base / total_height, width / total_width, height / total_height),
        label=f"{panel.setting}",
    )
    if dots:
        draw_dots(axes, panel, metric)
    else:
        draw_lines(axes, panel, (width, height), text_width)
        middle = x + left + width / 2
        _text(figure, middle, base - 27, f"{sweep.name} ({sweep.unit})", 8.0, "normal", MUTED, align="center")


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


Line = tuple[str, float, str, str]


def _text_lines(heading: Heading, width: float) -> list[Line]:
    title = [(line, 12.0, "bold", INK) for line in wrap(heading.title, width, 12.0, "bold")]
    return title + [(line, 8.0, "normal", MUTED) for line in wrap(heading.subtitle, width, 8.0)]


def _leading(size: float) -> float:
    return size * 1.4


def _write(figure: Figure, lines: Sequence[Line], x: float, y: float) -> None:
    for line, size, weight, colour in lines:
        y -= _leading(size)
        _text(figure, x, y + 0.3 * size, line, size, weight, colour)


def _text(
    figure: Figure, x: float, y: float, text: str, size: float, weight: str, colour: str, align: str = "left"
) -> None:
    width, height = figure.get_size_inches() * 72
    figure.text(
        x / width, y / height, text, fontsize=size, fontweight=weight, color=colour, ha=align, va="baseline",
        parse_math=False,
    )  # fmt: skip


def _chunks(panels: Sequence[Panel], size: int) -> list[list[Panel]]:
    return [list(panels[start : start + size]) for start in range(0, len(panels), size)]
