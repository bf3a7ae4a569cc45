"""The roofline: arithmetic against the device's ceilings; below it what only moves data, against a copy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from vigbench.analysis.table import printable
from vigbench.records.profile import ProfileRecord
from vigbench.report.figures.axes import log_ticks, plain, quiet
from vigbench.report.figures.bars import BarChart, BarRow
from vigbench.report.figures.labels import LINE, spread
from vigbench.report.figures.sheet import Cell, compose, share_of, write
from vigbench.report.figures.text import shorten, text_width
from vigbench.report.metrics import number, percent
from vigbench.report.profile.points import RooflinePoint, bounded_shares, module_points, moving_points, operator_points
from vigbench.report.profile.text import share_text, subtitle, time_name, uncounted
from vigbench.report.sentences.captions import Caption
from vigbench.report.style import INK, LEADER, MUTED, FamilyColour, colours

WIDTH, PLOT, ABOVE, BELOW = 480.0, 230.0, 16.0, 36.0  # points
LABELS = 190.0  # points to the right of the roofline
MOST_OPERATORS, MOST_MODULES, MOST_MOVING = 6, 5, 8


def draw_roofline(record: ProfileRecord) -> Figure | None:
    """The picture; None where nothing has multiply-adds or moves data. Call it inside `look`."""
    points = [*operator_points(record.costs, MOST_OPERATORS), *module_points(record.costs, MOST_MODULES)]
    moving = moving_points(record.costs, MOST_MOVING)
    cells = []
    if points:
        draw = partial(_draw_roofs, record, points)
        cells.append(Cell("Operators with multiply-adds", lambda _: ABOVE + PLOT + BELOW, draw))
    if moving:
        cells.append(_moving_chart(record, moving).cell("Operators without multiply-adds"))
    if not cells:
        return None
    notes = [_note(record), *uncounted(record.info)]
    return compose(cells, WIDTH, Caption(_title(record), subtitle(record.info), notes))


def _title(record: ProfileRecord) -> str:
    arithmetic, memory = bounded_shares(record.costs)
    return (
        f"{share_text(arithmetic)} of the {time_name(record.info)} goes to operators at half of the matrix rate or "
        f"more, {share_text(memory)} to operators at half of a copy's bandwidth or more"
    )


def _note(record: ProfileRecord) -> str:
    slow = record.info["ceilings"]["slow"]
    left_out = f" No fast matrix product in {', '.join(slow)} here." if slow else ""
    return (
        "FLOPs are 2 x multiply-adds of the algorithm, whatever the implementation executes; bytes are inputs and "
        "outputs, each once. Ceilings: a large copy and a large square product, measured before and after. Values "
        f"above a ceiling are possible, above all where data come from caches, and are not clipped.{left_out}"
    )


def _draw_roofs(
    record: ProfileRecord, points: Sequence[RooflinePoint], figure: Figure, corner: tuple[float, float], width: float
) -> None:
    x, y = corner
    ceilings = record.info["ceilings"]
    colour = colours(record.info["family"])
    write(figure, x, y - 9, "Achieved GFLOP/s", 8.0, "normal", MUTED)
    left = 40.0
    place = (x + left, y - ABOVE - PLOT, width - left - LABELS, PLOT)
    axes = figure.add_axes(share_of(figure, place), label="roofline")
    quiet(axes)
    low, high = _limits(axes, points, ceilings)
    _draw_ceilings(axes, ceilings, (low, high))
    for point in points:
        _draw_point(axes, point, colour)
    _label_points(axes, points, colour, (place[2], PLOT))
    middle = x + left + place[2] / 2
    write(figure, middle, y - ABOVE - PLOT - 28, "FLOPs for each byte moved", 8.0, "normal", MUTED, align="center")
    key = "\N{BLACK CIRCLE} operator, area by time   \N{WHITE DIAMOND} group of modules, all its operators"
    write(figure, x + width, y - 9, key, 7.5, "normal", MUTED, align="right")


def _draw_ceilings(axes: Axes, ceilings: dict[str, Any], limits: tuple[float, float]) -> None:
    """The slope of a copy, and a level for the matrix rate in each precision: solid for the profile's own."""
    low, high = limits
    copy = ceilings["copy_gb_per_s"]
    rates = {name: 1e3 * rate for name, rate in ceilings["product_tflop_per_s"].items()}
    for name, rate in rates.items():
        colour, width, dash = (INK, 1.4, "-") if name == ceilings["precision"] else (LEADER, 1.0, "--")
        axes.plot([max(rate / copy, low), high], [rate, rate], color=colour, linewidth=width, linestyle=dash, zorder=2)
        _write_beside(axes, f"{name} product {number(rate)}", (high, rate), (-3, 4), "right")
    top = max(rates.values())
    axes.plot([low, top / copy], [low * copy, top], color=INK, linewidth=1.4, zorder=2)
    _write_beside(axes, f"a copy: {number(copy)} GB/s", (low, low * copy), (16, 2), "left")


def _write_beside(axes: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], align: str) -> None:
    axes.annotate(
        text, at, xytext=shift, textcoords="offset points", ha=align, fontsize=7.5, color=MUTED, zorder=3,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.2},
    )  # fmt: skip


def _limits(axes: Axes, points: Sequence[RooflinePoint], ceilings: dict[str, Any]) -> tuple[float, float]:
    """Logarithmic axes around all points and all ridges; the limits of the intensity."""
    copy, rates = ceilings["copy_gb_per_s"], ceilings["product_tflop_per_s"]
    highest = 1e3 * max(rates.values())
    intensities = [*(point.intensity for point in points if point.intensity), 1e3 * min(rates.values()) / copy]
    low, high = min(intensities) / 2.5, max(*intensities, highest / copy) * 2.5
    achieved = [point.gflop_per_s for point in points]
    bottom, top = min(*achieved, low * copy * 2) / 2, max(*achieved, highest) * 1.8
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    for axis, limits in ((axes.xaxis, (low, high)), (axes.yaxis, (bottom, top))):
        axis.set_major_locator(FixedLocator(log_ticks(*limits)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(float(f"{value:.6g}"))))
    return low, high


def _draw_point(axes: Axes, point: RooflinePoint, colour: FamilyColour) -> None:
    axes.plot(
        point.intensity,
        point.gflop_per_s,
        linestyle="none",
        marker="D" if point.is_module else "o",
        markersize=5.0 if point.is_module else 4.0 + 14.0 * point.share**0.5,
        markerfacecolor="white" if point.is_module else colour.line,
        markeredgecolor=colour.text if point.is_module else "white",
        alpha=1.0 if point.is_module else 0.85,
        markeredgewidth=1.1 if point.is_module else 0.6,
        zorder=5 if point.is_module else 4,
        clip_on=False,
    )


def _label_points(axes: Axes, points: Sequence[RooflinePoint], colour: FamilyColour, area: tuple[float, float]) -> None:
    fractions = axes.transData + axes.transAxes.inverted()
    at = [fractions.transform((point.intensity, point.gflop_per_s)) * area for point in points]
    heights = spread([float(place[1]) for place in at], LINE + 1, 4.0, area[1])
    for point, (across, up), height in zip(points, at, heights, strict=True):
        axes.plot(
            [across / area[0], 1.0, 1.0 + 12 / area[0]],
            [up / area[1], height / area[1], height / area[1]],
            transform=axes.transAxes, color=LEADER, linewidth=0.5, zorder=1, clip_on=False,
        )  # fmt: skip
        share = share_text(point.share)
        name = shorten(printable(point.label), LABELS - text_width(share) - 24)
        axes.annotate(
            f"{name}  {share}", (1.0, height / area[1]), xycoords="axes fraction", xytext=(15, 0),
            textcoords="offset points", va="center_baseline", color=INK if point.is_module else colour.text,
            annotation_clip=False, gid="label",
        )  # fmt: skip


def _moving_chart(record: ProfileRecord, points: Sequence[RooflinePoint]) -> BarChart:
    copy, colour = record.info["ceilings"]["copy_gb_per_s"], colours(record.info["family"])
    rows = [
        BarRow(
            printable(point.label),
            INK,
            colour.line,
            [point.gb_per_s],
            end=f"{percent(point.gb_per_s / copy)} of a copy  ({share_text(point.share)})",
        )
        for point in points
    ]
    return BarChart("Achieved GB/s, and the share of the time", rows, ceiling=(copy, f"a copy: {number(copy)} GB/s"))
