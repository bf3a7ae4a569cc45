"""Axes of a picture: ticks at the real sizes, plain numbers, no more lines than needed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from vigbench.report.rows import Sweep
from vigbench.report.style import GRID, MUTED


def plain(value: float) -> str:
    """A tick: 0.5, 20, 1,000."""
    return f"{value:,.0f}" if value >= 1 and value == round(value) else f"{value:g}"


def spaced(values: Sequence[float], least: float) -> list[float]:
    """The values that can carry a tick label, the largest first: `least` is the smallest ratio of two neighbours."""
    kept: list[float] = []
    for value in sorted(values, reverse=True):
        if not kept or kept[-1] / value >= least:
            kept.append(value)
    return kept[::-1]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 in each decade, or less where that is enough; a range over a decade has three ticks at least."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 4:
            break
    return inside


def extent_axis(axes: Axes, extents: Sequence[float], width: float, sweep: Sweep) -> None:
    """log2 in pixels or tokens; `width` is the axis in points."""
    low, high = min(extents), max(extents)
    pad = (high / low) ** 0.035
    axes.set_xscale("log", base=2)
    axes.set_xlim(low / pad, high * pad)
    least = (high / low) ** (6.75 * len(sweep.size(high)) / width)  # points for a digit, with air
    axes.xaxis.set_major_locator(FixedLocator(extents))
    axes.xaxis.set_minor_locator(NullLocator())
    shown = set(spaced(extents, least))
    texts = {round(extent): sweep.size(extent) for extent in shown}
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: texts.get(round(value), "")))


def value_axis(axes: Axes, values: Sequence[float], *, vertical: bool = True, from_zero: bool = True) -> None:
    """Log where values differ more than eightfold, else linear, from zero or from the smallest value with air."""
    low, high = min(values), max(values)
    axis, set_scale, set_limits = (
        (axes.yaxis, axes.set_yscale, axes.set_ylim) if vertical else (axes.xaxis, axes.set_xscale, axes.set_xlim)
    )
    if low > 0 and high / low > 8:
        pad = (high / low) ** 0.06
        set_scale("log")
        set_limits(low / pad, high * pad)
        axis.set_major_locator(FixedLocator(log_ticks(low / pad, high * pad)))
        axis.set_minor_locator(NullLocator())
    else:
        air = 0.08 * (high - low) or abs(high) or 1.0
        zero = min(0.0, low * 1.08), high * 1.08 if high > 0 else 1.0
        bottom, top = zero if from_zero else (low - air, high + air)
        set_limits(bottom, top)
        ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(bottom, top)
        axis.set_major_locator(FixedLocator([tick for tick in ticks if bottom <= tick <= top]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(float(f"{value:.6g}"))))


def quiet(axes: Axes, *, upright: bool = True) -> None:
    """No spines but the base line: below with a grid of the values, or, if not `upright`, left of rows without one."""
    for side, spine in axes.spines.items():
        spine.set_visible(side == ("bottom" if upright else "left"))
        spine.set_color(MUTED)
        spine.set_linewidth(0.7)
    axes.patch.set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0, pad=4)
    if upright:
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        axes.tick_params(axis="x", length=3, width=0.7)
