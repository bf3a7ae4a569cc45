"""One panel as dots: a run with a single resolution or length has nothing to draw a line through."""

from __future__ import annotations

from matplotlib.axes import Axes

from vigbench.report.curves import Curve, Panel
from vigbench.report.figures.axes import quiet, value_axis
from vigbench.report.metrics import Metric, number
from vigbench.report.style import END_MARKS, GRID, INK, MARKERS, MUTED, OTHER_END, colours


def draw_dots(axes: Axes, panel: Panel, metric: Metric) -> None:
    """A row for each curve, the best on top, a whisker for the interval; failed ones below with their status."""
    measured = [curve for curve in panel.curves if curve.points]
    measured.sort(key=lambda curve: curve.points[0].value, reverse=metric.higher_is_better)
    rows = measured + [curve for curve in panel.curves if not curve.points and curve.failed]
    values = [curve.points[0].value for curve in measured]
    value_axis(axes, values, vertical=False)
    left, right = axes.get_xlim()
    quiet(axes, grid="x")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [curve.label for curve in rows], parse_math=False)
    axes.tick_params(axis="y", pad=6)
    for text, curve in zip(axes.get_yticklabels(), rows, strict=True):
        text.set_color(colours(curve.family).text)
        text.set_gid("label")
    for y, curve in enumerate(rows):
        _draw_row(axes, y, curve, (left, right))


def _draw_row(axes: Axes, y: int, curve: Curve, limits: tuple[float, float]) -> None:
    colour = colours(curve.family)
    if not curve.points:
        marker = END_MARKS.get(curve.failed[0][1], OTHER_END)[0]
        axes.plot([limits[0]], [y], marker=marker, color=colour.text, markerfacecolor="none", clip_on=False, zorder=5)
        _beside(axes, limits[0], y, curve.failed[0][1].replace("_", " "), MUTED)
        return
    point = curve.points[0]
    axes.hlines(y, limits[0], point.value, color=GRID, linewidth=1.6, zorder=2)
    if point.interval:
        axes.hlines(y, *point.interval, color=colour.line, linewidth=4, alpha=0.4, zorder=3)
    axes.plot([point.value], [y], marker=MARKERS[curve.size], color=colour.line, markersize=6, zorder=4, clip_on=False)
    _beside(axes, max((point.value, *(point.interval or ()))), y, number(point.value), INK)


def _beside(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    axes.annotate(
        text,
        (x, y),
        xytext=(8, 0),
        textcoords="offset points",
        va="center_baseline",
        color=colour,
        annotation_clip=False,
    )
