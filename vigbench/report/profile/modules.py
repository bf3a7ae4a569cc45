"""Time by groups of modules, as rows and as horizontal bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from vigbench.records.profile import ModuleRow, ProfileRecord
from vigbench.report.figures.bars import BarChart, BarRow
from vigbench.report.figures.sheet import compose
from vigbench.report.metrics import number, percent
from vigbench.report.profile.text import is_on_device, module_name, name_in_title, share_text, subtitle, time_name
from vigbench.report.sentences.captions import Caption
from vigbench.report.style import INK, colours

WIDTH = 480.0  # points
MOST_ROWS = 14
PARTS = (("in operators, forward", 1.0), ("in operators, backward", 0.5), ("outside operators", 0.2))  # what, tint


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
    return sorted((_group(name, members) for name, members in by_group.items()), key=lambda group: -group.self_ms)


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
    """The picture. Call it inside `look`."""
    groups = largest_groups(record.modules)
    shown = groups[:MOST_ROWS]
    if rest := groups[MOST_ROWS:]:
        parts = [sum(part) for part in zip(*(group.parts_ms for group in rest), strict=True)]
        share = sum(group.share for group in rest)
        shown.append(GroupRow(f"{len(rest)} others", 0, share, (parts[0], parts[1], parts[2]), 0.0, 0.0))
    caption = Caption(_title(groups, time_name(record.info)), subtitle(record.info), _notes(record))
    return compose([_chart(record, shown).cell()], WIDTH, caption)


def _title(groups: Sequence[GroupRow], time: str) -> str:
    first, several = groups[0], groups[:5]
    leading = f"{name_in_title(first.group)} takes {percent(first.share)} of the {time}"
    if len(groups) <= len(several):
        return leading
    return f"{leading}, the {len(several)} largest of {len(groups)} groups of modules {percent(_sum(several))}"


def _sum(groups: Sequence[GroupRow]) -> float:
    return min(1.0, sum(group.share for group in groups))


def _notes(record: ProfileRecord) -> list[str]:
    totals = record.info["totals"]
    stars = (
        "A * stands for the numbers of repeated modules. " if any("*" in row.group for row in record.modules) else ""
    )
    return [
        f"{stars}Each bar is a group's own time, without the modules inside it, in a profiled iteration. Those take "
        f"{number(totals['profiled_ms'])} ms, without the profiler {number(totals['latency_ms'])} ms."
    ]


def _chart(record: ProfileRecord, groups: Sequence[GroupRow]) -> BarChart:
    what = "Own kernel time" if is_on_device(record.info) else "Own time"
    colour = colours(record.info["family"]).line
    used = [any(group.parts_ms[index] for group in groups) for index in range(len(PARTS))]
    rows = [
        BarRow(_label(group), INK, colour, group.parts_ms, end=f"{number(group.self_ms)}  {share_text(group.share)}")
        for group in groups
    ]
    return BarChart(
        f"{what} by group of modules (ms)",
        rows,
        [tint for _, tint in PARTS],
        [part for part, there in zip(PARTS, used, strict=True) if there],
    )


def _label(group: GroupRow) -> str:
    name = module_name(group.group)
    return f"{name} ({group.modules})" if group.modules > 1 else name
