"""Time by groups of modules, as rows and as horizontal bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vigbench.records.profile import ModuleRow, ProfileRecord
from vigbench.report.figures.axes import quiet, value_axis
from vigbench.report.figures.sheet import Cell, Heading, compose, share_of, write
from vigbench.report.figures.text import shorten, text_width
from vigbench.report.metrics import number, percent
from vigbench.report.profile.text import is_on_device, module_name, name_in_title, share_text, subtitle, time_name
from vigbench.report.style import INK, MUTED, colours

WIDTH, ROW, BAR, ABOVE, BELOW = 480.0, 19.0, 11.0, 32.0, 22.0  # points
MOST_ROWS = 14
PARTS = (("forward", 1.0), ("backward", 0.5), ("outside operators", 0.2))  # what, tint


@dataclass(frozen=True)
class GroupRow:
    """Modules with the same place in repeated blocks, in one iteration.

    Attributes:
        parts_ms: own time in operators of the forward pass, of the backward pass, and outside of operators.
        total_ms: with the modules inside them.
        peak_growth_mib: the largest of one call.
    """

    group: str
    modules: int
    share: float
    parts_ms: tuple[float, float, float]
    total_ms: float
    peak_growth_mib: float

    @property
    def self_ms(self) -> float:
        """Own time."""
        return sum(self.parts_ms)


def largest_groups(rows: Sequence[ModuleRow]) -> list[GroupRow]:
    """The groups, the largest own time first."""
    by_group: dict[str, list[ModuleRow]] = {}
    for row in rows:
        by_group.setdefault(row.group, []).append(row)
    return sorted((_group(name, members) for name, members in by_group.items()), key=lambda one: -one.self_ms)


def _group(name: str, members: Sequence[ModuleRow]) -> GroupRow:
    return GroupRow(
        group=name,
        modules=len(members),
        share=sum(row.share for row in members),
        parts_ms=(
            sum(row.forward_ms for row in members),
            sum(row.backward_ms for row in members),
            sum(row.outside_ms for row in members),
        ),
        total_ms=sum(row.total_ms for row in members),
        peak_growth_mib=max(row.peak_growth_mib for row in members),
    )


def draw_modules(record: ProfileRecord) -> Figure:
    """The picture. Call it inside `style.look`."""
    groups = largest_groups(record.modules)
    shown = groups[:MOST_ROWS]
    if rest := groups[MOST_ROWS:]:
        parts = [sum(part) for part in zip(*(one.parts_ms for one in rest), strict=True)]
        share = sum(one.share for one in rest)
        shown.append(GroupRow(f"{len(rest)} others", 0, share, (parts[0], parts[1], parts[2]), 0.0, 0.0))
    heading = Heading(_title(groups, time_name(record.info)), subtitle(record.info), _notes(record))
    cell = Cell("", ABOVE + ROW * len(shown) + BELOW, partial(_draw, record, shown))
    return compose([cell], WIDTH, heading)


def _title(groups: Sequence[GroupRow], time: str) -> str:
    first, several = groups[0], groups[:5]
    leading = f"{name_in_title(first.group)} takes {percent(first.share)} of the {time}"
    if len(groups) <= len(several):
        return leading
    return f"{leading}, the {len(several)} largest of {len(groups)} groups of modules {percent(_sum(several))}"


def _sum(groups: Sequence[GroupRow]) -> float:
    return min(1.0, sum(one.share for one in groups))


def _notes(record: ProfileRecord) -> list[str]:
    totals = record.info["totals"]
    stars = (
        "A * stands for the numbers of repeated modules. " if any("*" in row.group for row in record.modules) else ""
    )
    return [
        f"{stars}Each bar is a group's own time, without the modules inside it, in a profiled iteration. Those take "
        f"{number(totals['profiled_ms'])} ms, without the profiler {number(totals['latency_ms'])} ms."
    ]


def _draw(
    record: ProfileRecord, groups: Sequence[GroupRow], figure: Figure, corner: tuple[float, float], width: float
) -> None:
    x, y = corner
    what = "Own kernel time" if is_on_device(record.info) else "Own time"
    write(figure, x, y - 9, f"{what} by group of modules (ms)", 8.0, "normal", MUTED)
    colour = colours(record.info["family"])
    _legend(figure, groups, colour.line, x, y - 24)
    names = [shorten(_label(one), width * 0.45) for one in groups]
    ends = [f"{number(one.self_ms)}  {share_text(one.share)}" for one in groups]
    left, right = max(map(text_width, names)) + 12, max(map(text_width, ends)) + 12
    height = ROW * len(groups)
    place = (x + left, y - ABOVE - height, width - left - right, height)
    axes = figure.add_axes(share_of(figure, place), label="modules")
    value_axis(axes, [0.0, max(one.self_ms for one in groups) or 1.0], vertical=False)
    quiet(axes, grid="x")
    axes.grid(visible=False)  # it would shine through the tints; every value is written
    axes.set_ylim(height, 0)
    middles = [ROW * (row + 0.5) for row in range(len(groups))]
    axes.set_yticks(middles, names, parse_math=False)
    axes.tick_params(axis="y", pad=6)
    for text in axes.get_yticklabels():
        text.set_color(INK)
    for middle, one, end in zip(middles, groups, ends, strict=True):
        _bar(axes, one, colour.line, middle, end)


def _label(group: GroupRow) -> str:
    name = module_name(group.group)
    return f"{name} ({group.modules})" if group.modules > 1 else name


def _bar(axes: Axes, group: GroupRow, colour: str, middle: float, end: str) -> None:
    begin = 0.0
    for value, (_, tint) in zip(group.parts_ms, PARTS, strict=True):
        axes.barh(middle, value, BAR, begin, color=colour, alpha=tint, linewidth=0, zorder=3)
        begin += value
    axes.annotate(
        end, (begin, middle), xytext=(6, 0), textcoords="offset points", va="center_baseline", color=INK,
        annotation_clip=False,
    )  # fmt: skip


def _legend(figure: Figure, groups: Sequence[GroupRow], colour: str, x: float, y: float) -> None:
    for index, (name, tint) in enumerate(PARTS):
        if not any(one.parts_ms[index] for one in groups):
            continue
        text = name if name.startswith("outside") else f"in operators, {name}"
        left, bottom, width, height = share_of(figure, (x, y - 1, 8.0, 8.0))
        figure.add_artist(
            Rectangle(
                (left, bottom), width, height, transform=figure.transFigure, color=colour, linewidth=0, alpha=tint
            )
        )
        write(figure, x + 12, y, text, 8.5, "normal", MUTED)
        x += text_width(text) + 26
