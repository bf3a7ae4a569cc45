"""A sheet of panels in one or two columns, with or without its caption; all lengths in points."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vigbench.report.figures.text import shorten, wrap
from vigbench.report.sentences.captions import Caption
from vigbench.report.style import INK, MUTED

BETWEEN, TITLE_ROW = 22.0, 15.0
TWO_COLUMNS = 500.0  # from this width


@dataclass(frozen=True)
class Cell:
    """One panel of a sheet.

    Attributes:
        title: shown where there are several.
        height: points that it takes at a width, without the title.
        draw: draws it into a figure, from its upper left corner, as wide as it is told.
    """

    title: str
    height: Callable[[float], float]
    draw: Callable[[Figure, tuple[float, float], float], None]


@contextmanager
def look(*, text_as_paths: bool) -> Iterator[None]:
    """Matplotlib's settings for the pictures, whatever the user's own; restored at the end."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box in a picture is no reason to fail
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": ["DejaVu Sans"],
                "font.size": 8.5,
                "text.parse_math": False,
                "text.color": INK,
                "svg.fonttype": "path" if text_as_paths else "none",
                "svg.hashsalt": "vigbench",
            }
        )
        yield


def compose(cells: Sequence[Cell], width: float, caption: Caption | None = None) -> Figure:
    """The picture, `width` points wide; two panels side by side where there is room. Call it inside `look`."""
    columns = 2 if len(cells) > 1 and width > TWO_COLUMNS else 1
    column = (width - (columns - 1) * BETWEEN) / columns
    titled = len(cells) > 1
    grid = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(cell.height(column) for cell in row) + (TITLE_ROW + BETWEEN / 2) * titled for row in grid]
    above = _text_lines(caption, width) if caption else []
    below = (
        [(line, 7.5, "normal", MUTED) for note in caption.notes for line in wrap(note, width, 7.5)] if caption else []
    )
    margin = 14.0 if caption else 0.0
    top = margin + sum(_leading(size) for _, size, _, _ in above) + (8 if above else 0)
    bottom = margin + sum(_leading(size) for _, size, _, _ in below) + (6 if below else 0)
    total = top + sum(heights) + bottom
    figure = Figure(figsize=((width + 2 * margin) / 72, total / 72), dpi=72)
    FigureCanvasAgg(figure)
    _write(figure, above, margin, total - margin)
    _write(figure, below, margin, bottom - 6)
    y = total - top
    for row, height in zip(grid, heights, strict=True):
        for index, cell in enumerate(row):
            _place(figure, cell, (margin + index * (column + BETWEEN), y), column, titled)
        y -= height
    return figure


def share_of(figure: Figure, place: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Left, bottom, width and height in points as shares of the figure."""
    x, y, across, up = place
    width, height = figure.get_size_inches() * 72
    return x / width, y / height, across / width, up / height


def _place(figure: Figure, cell: Cell, corner: tuple[float, float], width: float, titled: bool) -> None:
    x, y = corner
    if titled:
        y -= TITLE_ROW
        write(figure, x, y + 3, shorten(cell.title, width), 8.5, "bold", INK)
    cell.draw(figure, (x, y), width)


def write(
    figure: Figure, x: float, y: float, text: str, size: float, weight: str, colour: str, align: str = "left"
) -> None:
    """Text on a sheet, from the lower left corner of the figure; `y` is its base line."""
    width, height = figure.get_size_inches() * 72
    figure.text(
        x / width, y / height, text, fontsize=size, fontweight=weight, color=colour, ha=align, va="baseline",
        parse_math=False,
    )  # fmt: skip


Line = tuple[str, float, str, str]


def _text_lines(caption: Caption, width: float) -> list[Line]:
    title = [(line, 12.0, "bold", INK) for line in wrap(caption.title, width, 12.0, "bold")]
    return title + [(line, 8.0, "normal", MUTED) for line in wrap(caption.subtitle, width, 8.0)]


def _leading(size: float) -> float:
    return size * 1.4


def _write(figure: Figure, lines: Sequence[Line], x: float, y: float) -> None:
    for line, size, weight, colour in lines:
        y -= _leading(size)
        write(figure, x, y + 0.3 * size, line, size, weight, colour)
