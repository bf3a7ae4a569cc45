"""Dots with names: one number against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from vigbench.report.figures.axes import log_ticks, plain, quiet
from vigbench.report.figures.labels import Box
from vigbench.report.figures.sheet import share_of, write
from vigbench.report.figures.text import shorten, text_width
from vigbench.report.style import GRID, MARKERS, MUTED, colours

HEIGHT = 330.0  # of the whole, points
LEFT, BELOW, ABOVE, RIGHT = 40.0, 34.0, 18.0, 12.0
SPREAD = 8  # values farther apart than this want a logarithmic axis
NAME = 110.0  # most points of a name


@dataclass(frozen=True)
class Spot:
    """One dot: its place, its name, and what colour and marker it has."""

    x: float
    y: float
    label: str
    family: str
    size: str = ""


def draw_scatter(
    spots: Sequence[Spot], names: Sequence[str], figure: Figure, corner: tuple[float, float], room: float
) -> None:
    """Draw the dots into a figure, from its upper left corner, `room` points wide; `names` are those of the axes."""
    x, y = corner
    height = HEIGHT - ABOVE - BELOW
    width = room - LEFT - RIGHT
    write(figure, x, y - 9, names[1], 8.0, "normal", MUTED)
    axes = figure.add_axes(share_of(figure, (x + LEFT, y - ABOVE - height, width, height)), label="scatter")
    _scale(axes, [spot.x for spot in spots], vertical=False)
    _scale(axes, [spot.y for spot in spots], vertical=True)
    quiet(axes, grid="y")
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    for spot in spots:
        axes.plot([spot.x], [spot.y], MARKERS[spot.size], color=colours(spot.family).line, markersize=6, zorder=3)
    _name(axes, spots, (width, height))
    write(figure, x + LEFT + width / 2, y - ABOVE - height - 27, names[0], 8.0, "normal", MUTED, align="center")


def _scale(axes: Axes, values: Sequence[float], *, vertical: bool) -> None:
    """From the smallest value to the largest with air: what is compared need not begin at zero."""
    low, high = min(values), max(values)
    axis = axes.yaxis if vertical else axes.xaxis
    set_limits = axes.set_ylim if vertical else axes.set_xlim
    if low > 0 and high / low > SPREAD:
        (axes.set_yscale if vertical else axes.set_xscale)("log")
        pad = (high / low) ** 0.06
        ends = low / pad, high * pad
        axis.set_major_locator(FixedLocator(log_ticks(*ends)))
        axis.set_minor_locator(NullLocator())
    else:
        pad = 0.08 * (high - low) or abs(high) or 1.0
        ends = low - pad, high + pad
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    set_limits(*ends)
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(float(f"{value:.6g}"))))


def _name(axes: Axes, spots: Sequence[Spot], area: tuple[float, float]) -> None:
    """Names beside their dots, where they cover neither a dot nor another name; others stay unnamed."""
    to_area = axes.transData + axes.transAxes.inverted()
    places = np.asarray(to_area.transform([(spot.x, spot.y) for spot in spots])) * area
    taken: list[Box] = []
    for spot, (x, y) in zip(spots, places, strict=True):
        label = shorten(spot.label, NAME)
        width = text_width(label)
        around = (
            Box(x + across, y + up, width)
            for up, across in product((0.0, 8.0, -8.0, 13.0, -13.0), (7.0, -width - 7.0, -width / 2))
            if up or across != -width / 2
        )
        free = (box for box in around if box.x >= 0 and box.x + width <= area[0] + RIGHT and 0 < box.y < area[1])
        others = places[(places != (x, y)).any(axis=1)]
        free = (box for box in free if not box.covers(others) and not any(box.overlaps(other) for other in taken))
        box = next(free, None)
        if box is None:
            continue
        taken.append(box)
        axes.text(
            box.x / area[0], box.y / area[1], label, transform=axes.transAxes, color=colours(spot.family).text,
            va="center_baseline", parse_math=False, gid="label",
        )  # fmt: skip
