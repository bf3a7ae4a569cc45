"""A training step as stacked bars: a bar for each case, its parts in tints of the family's colour."""

from __future__ import annotations

from collections.abc import Sequence

from vigbench.report.figures.bars import BarChart, BarRow
from vigbench.report.figures.sheet import Cell
from vigbench.report.metrics import number
from vigbench.report.stacks import STEP_MEMORY, STEP_TIME, Stack, StackedBar, StackPanel
from vigbench.report.style import colours

TINTS = {STEP_TIME.name: (0.45, 1.0, 0.2), STEP_MEMORY.name: (0.3, 0.5, 0.75, 0.15, 1.0)}  # neighbours differ


def stack_cells(stack: Stack, panels: Sequence[StackPanel]) -> list[Cell]:
    """A panel of a sheet for each setting and resolution."""
    tints = TINTS[stack.name]
    legend = [*zip(stack.parts.values(), tints, strict=True), *([("timed as a whole", None)] if stack.whole else [])]
    return [
        BarChart(
            f"{stack.quantity} ({stack.unit}) at {panel.size}",
            [_row(bar) for bar in panel.bars],
            tints,
            legend,
        ).cell(panel.title)
        for panel in panels
    ]


def _row(bar: StackedBar) -> BarRow:
    colour = colours(bar.family)
    return BarRow(
        bar.label,
        colour.text,
        colour.line,
        bar.values,
        end=number(bar.whole or sum(bar.values)) + ", disturbed" * bar.disturbed,
        below=" + ".join(map(number, bar.values)),
        whole=bar.whole,
    )
