"""Rows of horizontal bars or dots: a name at the left of each, its numbers at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vigbench.report.figures.axes import quiet, value_axis
from vigbench.report.figures.sheet import Cell, share_of, write
from vigbench.report.figures.text import SIZE, fitting, text_width
from vigbench.report.style import GRID, INK, MUTED

ROW, ROW_WITH_BELOW, BAR = 19.0, 31.0, 11.0  # points: a row, one with a text below its bar, a bar
NAME, LEGEND, TICKS, CEILING = 16.0, 14.0, 22.0, 14.0  # points: the lines of text above and below
SWATCH, GAP, SMALL = 8.0, 12.0, 7.5


@dataclass(frozen=True)
class BarRow:
    """One row.

    Attributes:
        ink, colour: of the label, and of the bar or dot.
        parts: lengths of the bar's pieces, one after the other; none where the case has no value.
        end: written behind the bar; `below` is written small under it.
        whole: measured apart from its parts: a stroke across the bar.
        marker: a dot of this shape takes the place of the bar, for an axis that may have no zero.
        interval: of the dot.
        hollow: whether the dot stands for a value that carries no conclusion.
    """

    label: str
    ink: str
    colour: str
    parts: Sequence[float]
    end: str
    below: str = ""
    whole: float | None = None
    marker: str = ""
    interval: tuple[float, float] | None = None
    hollow: bool = False

    @property
    def reach(self) -> float:
        """Where what is drawn ends."""
        return max(sum(self.parts), self.whole or 0.0, *(self.interval or ()))


@dataclass(frozen=True)
class BarChart:
    """Rows on one axis.

    Attributes:
        name: of the axis, with its unit.
        tints: opacity of each part, 0 to 1.
        legend: a text for each tint that wants one; None is the stroke of the whole.
        ceiling: a line across all rows, and its name.
    """

    name: str
    rows: Sequence[BarRow]
    tints: Sequence[float] = (1.0,)
    legend: Sequence[tuple[str, float | None]] = ()
    ceiling: tuple[float, str] | None = None

    def cell(self, title: str = "") -> Cell:
        """The chart as a panel of a sheet."""
        return Cell(title, self._height, self._draw)

    @property
    def _row(self) -> float:
        return ROW_WITH_BELOW if any(row.below for row in self.rows) else ROW

    def _height(self, width: float) -> float:
        legend = LEGEND * len(_legend_lines(self.legend, width))
        return NAME + legend + self._row * len(self.rows) + TICKS + CEILING * bool(self.ceiling)

    def _draw(self, figure: Figure, corner: tuple[float, float], width: float) -> None:
        x, y = corner
        write(figure, x, y - 9, self.name, 8.0, "normal", MUTED)
        y -= NAME
        colour, *others = {row.colour for row in self.rows}
        for line in _legend_lines(self.legend, width):
            _draw_legend(figure, line, (x, y), INK if others else colour)
            y -= LEGEND
        labels = [fitting(row.label, width) for row in self.rows]
        left, right = max(map(text_width, labels)) + 12, max(text_width(row.end) for row in self.rows) + 12
        across, height = width - left - right, self._row * len(self.rows)
        place = share_of(figure, (x + left, y - height, across, height))
        axes = figure.add_axes(place, label=f"{self.name} {labels}")
        self._draw_rows(axes, labels)
        if self.ceiling:
            value, name = self.ceiling
            axes.axvline(value, color=INK, linewidth=1.4, zorder=4)
            middle = x + left + across * value / axes.get_xlim()[1]
            write(figure, middle, y - height - TICKS - 6, name, SMALL, "normal", INK, align="center")

    def _draw_rows(self, axes: Axes, labels: Sequence[str]) -> None:
        dots = any(row.marker for row in self.rows)
        values = [sum(row.parts) if dots else row.reach for row in self.rows if row.parts]
        value_axis(axes, [*values, *([] if dots else [0.0]), *(self.ceiling or ())[:1]], vertical=False)
        quiet(axes, upright=False)
        axes.set_ylim(self._row * len(self.rows), 0)
        middles = [self._row * (place + (0.4 if self._row > ROW else 0.5)) for place in range(len(self.rows))]
        axes.set_yticks(middles, labels, parse_math=False)
        axes.tick_params(axis="y", pad=6)
        for middle, text, row in zip(middles, axes.get_yticklabels(), self.rows, strict=True):
            text.set_color(row.ink)
            text.set_gid("label")
            if row.marker:
                _draw_dot(axes, row, middle)
            else:
                _draw_bar(axes, row, middle, self.tints)
            end = axes.get_xlim()[1] if self.ceiling else row.reach if row.parts else axes.get_xlim()[0]
            _beside(axes, (end, middle), row.end, (8, 0), INK if row.parts else MUTED)


def _draw_bar(axes: Axes, row: BarRow, middle: float, tints: Sequence[float]) -> None:
    begin = 0.0
    for value, tint in zip(row.parts, tints, strict=True):
        axes.barh(middle, value, BAR, begin, color=row.colour, alpha=tint, linewidth=0, zorder=3)
        begin += value
    if row.whole is not None:
        axes.vlines(row.whole, middle - BAR / 2 - 2.5, middle + BAR / 2 + 2.5, color=INK, linewidth=1.4, zorder=4)
    _beside(axes, (0.0, middle), row.below, (1, -BAR / 2 - 6.5), MUTED, SMALL)


def _draw_dot(axes: Axes, row: BarRow, middle: float) -> None:
    left = axes.get_xlim()[0]
    if not row.parts:
        axes.plot([left], [middle], row.marker, color=row.ink, markerfacecolor="none", clip_on=False, zorder=5)
        return
    value = sum(row.parts)
    axes.hlines(middle, left, value, color=GRID, linewidth=1.6, zorder=2)
    if row.interval:
        axes.hlines(middle, *row.interval, color=row.colour, linewidth=4, alpha=0.4, zorder=3)
    filling = "none" if row.hollow else row.colour
    axes.plot(
        [value], [middle], row.marker, color=row.colour, markerfacecolor=filling, markersize=6, zorder=4, clip_on=False
    )


def _beside(
    axes: Axes, at: tuple[float, float], text: str, shift: tuple[float, float], colour: str, size: float = SIZE
) -> None:
    axes.annotate(
        text, at, xytext=shift, textcoords="offset points", va="center_baseline", fontsize=size, color=colour,
        annotation_clip=False, zorder=5,
    )  # fmt: skip


Legend = Sequence[tuple[str, float | None]]


def _legend_lines(entries: Legend, width: float) -> list[list[tuple[str, float | None]]]:
    """The legend's entries, broken into lines that fit."""
    lines: list[list[tuple[str, float | None]]] = []
    for entry in entries:
        if not lines or sum(map(_entry_width, [*lines[-1], entry])) - GAP > width:
            lines.append([])
        lines[-1].append(entry)
    return lines


def _entry_width(entry: tuple[str, float | None]) -> float:
    return SWATCH + 4 + text_width(entry[0]) + GAP


def _draw_legend(figure: Figure, entries: Legend, corner: tuple[float, float], colour: str) -> None:
    x, y = corner
    for text, tint in entries:
        across = SWATCH if tint is not None else 1.4
        left, bottom, width, height = share_of(figure, (x + (SWATCH - across) / 2, y - 9.5, across, SWATCH))
        filled = INK if tint is None else colour
        swatch = Rectangle(
            (left, bottom), width, height, transform=figure.transFigure, color=filled, linewidth=0, alpha=tint
        )
        figure.add_artist(swatch)
        write(figure, x + SWATCH + 4, y - 8.5, text, SIZE, "normal", MUTED)
        x += _entry_width((text, tint))
