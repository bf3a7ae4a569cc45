"""A panel as lines over resolution or length."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vigbench.report.curves import Panel, SubjectCurve
from vigbench.report.figures.axes import extent_axis, quiet, value_axis
from vigbench.report.figures.labels import LINE, REACH, place
from vigbench.report.figures.sheet import Cell, share_of, write
from vigbench.report.figures.text import fitting, text_width
from vigbench.report.style import END_MARKS, LEADER, MARKERS, MUTED, OTHER_END, colours, dashes

LEFT, ABOVE, BELOW, PLOT = 34.0, 16.0, 34.0, 215.0  # points: margins, height of the axes


def lines_cell(name: str, panel: Panel) -> Cell:
    """The panel as lines; `name` is that of the vertical axis, with its unit."""
    height = max(PLOT, 1.4 * LINE * len(panel.curves))
    return Cell(panel.title, lambda _: ABOVE + height + BELOW, partial(_draw_lines, name, panel, height))


def _draw_lines(
    name: str, panel: Panel, height: float, figure: Figure, corner: tuple[float, float], room: float
) -> None:
    """Lines, bands, end marks and labels."""
    x, y = corner
    curves = [replace(curve, label=fitting(curve.label, room)) for curve in panel.curves if curve.drawn]
    values = [value for curve in curves for p in curve.drawn for value in (p.value, *(p.interval or ()))]
    left = max(LEFT, text_width(f"{max(p.value for curve in curves for p in curve.drawn):,.0f}") + 8)  # a tick's label
    width = room - left - max(text_width(curve.label) for curve in curves) - REACH - 4
    base = y - ABOVE - height
    write(figure, x, y - 9, name, 8.0, "normal", MUTED)
    sweep = panel.setting.sweep
    write(figure, x + left + width / 2, base - 27, f"{sweep.name} ({sweep.unit})", 8.0, "normal", MUTED, align="center")
    axes = figure.add_axes(share_of(figure, (x + left, base, width, height)), label=f"{name} {panel.setting}")
    extent_axis(axes, panel.extents, width, sweep)
    value_axis(axes, values)
    quiet(axes)
    for depth, curve in enumerate(reversed(curves)):
        _draw_curve(axes, curve, 3 + depth)
    _draw_labels(axes, curves, (width, height))


def _draw_curve(axes: Axes, curve: SubjectCurve, zorder: float) -> None:
    colour = colours(curve.family).line
    gaps = [extent for extent, _ in curve.failed if extent < curve.drawn[-1].extent]
    places = sorted([(p.extent, p.value) for p in curve.drawn] + [(gap, np.nan) for gap in gaps])
    banded = [(p.extent, *p.interval) for p in curve.drawn if p.interval]
    if banded:
        x, low, high = zip(*sorted(banded + [(gap, np.nan, np.nan) for gap in gaps]), strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0, zorder=2)
        axes.vlines(x, low, high, color=colour, linewidth=1, zorder=zorder)  # a band has no width at a single point
    pattern = dashes(curve.implementation)
    axes.plot(
        [x for x, _ in places],
        [y for _, y in places],
        color=colour,
        linewidth=1.6,
        linestyle=(0, pattern) if pattern else "-",
        marker=MARKERS[curve.size],
        markersize=4,
        markeredgewidth=0,
        markevery=[place for place, (extent, _) in enumerate(places) if curve.at(extent)] if curve.left_out else None,
        zorder=zorder,
    )
    if curve.left_out:
        axes.plot(
            [p.extent for p in curve.left_out],
            [p.value for p in curve.left_out],
            linestyle="none",
            marker=MARKERS[curve.size],
            markersize=5.5,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.2,
            zorder=zorder,
        )
    if curve.end:
        last = curve.drawn[-1]
        oom = curve.end[1] == "out_of_memory"
        axes.plot(
            [last.extent],
            [last.value],
            linestyle="none",
            marker=END_MARKS.get(curve.end[1], OTHER_END)[0],
            markersize=9 if oom else 7,
            markerfacecolor="none",
            markeredgecolor=colours(curve.family).text,
            markeredgewidth=1.8 if oom else 1.2,
            zorder=40,
            clip_on=False,
        )


def _draw_labels(axes: Axes, curves: list[SubjectCurve], area: tuple[float, float]) -> None:
    fractions = axes.transData + axes.transAxes.inverted()
    lines: list[npt.NDArray[np.float64]] = [
        np.asarray(fractions.transform([(p.extent, p.value) for p in curve.drawn])) * area for curve in curves
    ]
    ends = [(float(line[-1, 0]), float(line[-1, 1])) for line in lines]
    boxes = place(ends, [text_width(curve.label) for curve in curves], lines, area)
    for curve, end, box in zip(curves, ends, boxes, strict=True):
        colour = colours(curve.family)
        if box.x > area[0] and (abs(box.y - end[1]) > 2.5 or box.x > end[0] + 4 * REACH):
            axes.plot(
                [(end[0] + 3) / area[0], (box.x - 2) / area[0]],
                [end[1] / area[1], box.y / area[1]],
                transform=axes.transAxes,
                color=LEADER,
                linewidth=0.6,
                zorder=1,
                clip_on=False,
            )
        axes.text(
            box.x / area[0],
            box.y / area[1],
            curve.label,
            transform=axes.transAxes,
            color=colour.text,
            va="center_baseline",
            parse_math=False,
            zorder=50,
            gid="label",
        )
