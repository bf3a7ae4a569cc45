"""Dots with names: one number against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vigbench.report.figures.axes import quiet, value_axis
from vigbench.report.figures.labels import near
from vigbench.report.figures.sheet import share_of, write
from vigbench.report.figures.text import shorten, text_width
from vigbench.report.style import GRID, MARKERS, MUTED, colours

HEIGHT = 330.0  # of the whole, points
LEFT, BELOW, ABOVE, RIGHT = 40.0, 34.0, 18.0, 12.0
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
    value_axis(axes, [spot.x for spot in spots], vertical=False, from_zero=False)
    value_axis(axes, [spot.y for spot in spots], from_zero=False)
    quiet(axes)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    for spot in spots:
        axes.plot([spot.x], [spot.y], MARKERS[spot.size], color=colours(spot.family).line, markersize=6, zorder=3)
    _name(axes, spots, (width, height))
    write(figure, x + LEFT + width / 2, y - ABOVE - height - 27, names[0], 8.0, "normal", MUTED, align="center")


def _name(axes: Axes, spots: Sequence[Spot], area: tuple[float, float]) -> None:
    """Names beside their dots, where they cover neither a dot nor another name; others stay unnamed."""
    to_area = axes.transData + axes.transAxes.inverted()
    places = np.asarray(to_area.transform([(spot.x, spot.y) for spot in spots])) * area
    labels = [shorten(spot.label, NAME) for spot in spots]
    ends = {index: (float(x), float(y)) for index, (x, y) in enumerate(places)}
    for index, box in near(ends, [text_width(label) for label in labels], list(places[:, None]), area).items():
        axes.text(
            box.x / area[0], box.y / area[1], labels[index], transform=axes.transAxes,
            color=colours(spots[index].family).text, va="center_baseline", parse_math=False, gid="label",
        )  # fmt: skip
