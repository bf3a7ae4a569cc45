"""Stacked bars: a bar for each case, its parts in tints of the family's colour, their values below it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vigbench.report.figures.axes import quiet, value_axis
from vigbench.report.figures.sheet import Cell, Heading, column_width, compose, share_of, write
from vigbench.report.figures.text import shorten, text_width
from vigbench.report.metrics import number
from vigbench.report.stacks import STEP_MEMORY, STEP_TIME, Bar, Stack, StackPanel
from vigbench.report.style import INK, MUTED, colours

ROW, BAR, LEGEND_ROW, BELOW, RIGHT = 31.0, 11.0, 14.0, 22.0, 44.0  # points
SWATCH, GAP = 8.0, 12.0
SMALL = 7.5
TINTS = {STEP_TIME.name: (0.45, 1.0, 0.2), STEP_MEMORY.name: (0.3, 0.5, 0.75, 0.15, 1.0)}  # neighbours differ


def draw_stacks(stack: Stack, panels: Sequence[StackPanel], width: float, heading: Heading | None = None) -> Figure:
    """The picture, `width` points wide. Call it inside `style.look`."""
    column = column_width(len(panels), width)
    above = 16.0 + LEGEND_ROW * len(_legend_rows(stack, column))
    cells = [
        Cell(panel.title, above + ROW * len(panel.bars) + BELOW, partial(_draw_panel, stack, panel)) for panel in panels
    ]
    return compose(cells, width, heading)


def _draw_panel(stack: Stack, panel: StackPanel, figure: Figure, corner: tuple[float, float], width: float) -> None:
    x, y = corner
    write(figure, x, y - 9, f"{stack.quantity} ({stack.unit}) at {panel.resolution} px", 8.0, "normal", MUTED)
    y -= 16.0
    for entries in _legend_rows(stack, width):
        _draw_legend(figure, entries, x, y)
        y -= LEGEND_ROW
    names = [shorten(bar.label, max(70.0, width / 3)) for bar in panel.bars]
    left = max(map(text_width, names)) + 12
    height = ROW * len(panel.bars)
    place = (x + left, y - height, width - left - RIGHT, height)
    axes = figure.add_axes(share_of(figure, place), label=panel.title)
    value_axis(axes, [0.0, *(max(sum(bar.values), bar.whole or 0.0) for bar in panel.bars)], vertical=False)
    quiet(axes, grid="x")
    axes.grid(visible=False)  # it would shine through the tints; every value is written
    axes.set_ylim(height, 0)
    middles = [ROW * (row + 0.4) for row in range(len(names))]
    axes.set_yticks(middles, names, parse_math=False)
    axes.tick_params(axis="y", pad=6)
    for middle, text, bar in zip(middles, axes.get_yticklabels(), panel.bars, strict=True):
        text.set_color(colours(bar.family).text)
        text.set_gid("label")
        _draw_bar(axes, bar, TINTS[stack.name], middle)


def _draw_bar(axes: Axes, bar: Bar, tints: Sequence[float], middle: float) -> None:
    colour, begin = colours(bar.family).line, 0.0
    for value, tint in zip(bar.values, tints, strict=True):
        axes.barh(middle, value, BAR, begin, color=colour, alpha=tint, linewidth=0, zorder=3)
        begin += value
    if bar.whole is not None:
        axes.vlines(bar.whole, middle - BAR / 2 - 2.5, middle + BAR / 2 + 2.5, color=INK, linewidth=1.4, zorder=4)
    end = max(begin, bar.whole or 0.0)
    _beside(axes, (end, middle), number(bar.whole or begin), (7, 0), 8.5, INK)
    _beside(axes, (0.0, middle), " + ".join(map(number, bar.values)), (1, -BAR / 2 - 6.5), SMALL, MUTED)


def _beside(
    axes: Axes, at: tuple[float, float], text: str, shift: tuple[float, float], size: float, colour: str
) -> None:
    axes.annotate(
        text, at, xytext=shift, textcoords="offset points", va="center_baseline", fontsize=size, color=colour,
        annotation_clip=False, zorder=5,
    )  # fmt: skip


Entry = tuple[str, float | None]  # text, tint; no tint: the line of the whole


def _legend_rows(stack: Stack, width: float) -> list[list[Entry]]:
    """The legend's entries, broken into rows that fit."""
    entries: list[Entry] = list(zip(stack.parts.values(), TINTS[stack.name], strict=True))
    if stack.whole is not None:
        entries.append(("timed as a whole", None))
    rows: list[list[Entry]] = [[]]
    for entry in entries:
        if rows[-1] and sum(map(_entry_width, [*rows[-1], entry])) - GAP > width:
            rows.append([])
        rows[-1].append(entry)
    return rows


def _entry_width(entry: Entry) -> float:
    return SWATCH + 4 + text_width(entry[0]) + GAP


def _draw_legend(figure: Figure, entries: Sequence[Entry], x: float, y: float) -> None:
    for text, tint in entries:
        across = SWATCH if tint is not None else 1.4
        left, bottom, width, height = share_of(figure, (x + (SWATCH - across) / 2, y - 9.5, across, SWATCH))
        swatch = Rectangle(
            (left, bottom), width, height, transform=figure.transFigure, color=INK, linewidth=0, alpha=tint
        )
        figure.add_artist(swatch)
        write(figure, x + SWATCH + 4, y - 8.5, text, 8.5, "normal", MUTED)
        x += _entry_width((text, tint))
