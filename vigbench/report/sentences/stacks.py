"""What the bars of training steps show, in words."""

from __future__ import annotations

from collections.abc import Sequence

from vigbench.report.metrics import number, percent
from vigbench.report.stacks import Stack, StackedBar, StackPanel


def stack_title(stack: Stack, panels: Sequence[StackPanel]) -> str:
    """The finding in the first panel: the shares of its parts, from the least to the most of its undisturbed bars."""
    told = [panel for panel in panels if not all(bar.disturbed for bar in panel.bars)]
    if not told:
        return f"{stack.quantity}: its shares cannot be told, since every case was disturbed"
    panel = told[0]
    where = f"At {panel.size}" + (f" ({panel.setting.text()})" if len(panels) > 1 else "")
    by_bar = [[value / sum(bar.values) for value in bar.values] for bar in panel.bars if not bar.disturbed]
    shares = {column: _range(values) for column, values in zip(stack.parts, zip(*by_bar, strict=True), strict=True)}
    return f"{where} {stack.finding.format(**shares)}"


def stack_alternative(stack: Stack, panels: Sequence[StackPanel]) -> str:
    """The picture in words, with its numbers."""
    spoken = [f"{panel.title}: {'; '.join(_bar_in_words(bar, stack) for bar in panel.bars)}" for panel in panels]
    return f"{stack.quantity} in {stack.unit}, by part. {'. '.join(spoken)}."


def _bar_in_words(bar: StackedBar, stack: Stack) -> str:
    parts = zip(stack.parts.values(), bar.values, strict=True)
    return f"{bar.label} " + ", ".join(f"{name} {number(value)}" for name, value in parts)


def _range(shares: Sequence[float]) -> str:
    low, high = percent(min(shares)), percent(max(shares))
    return low if low == high else f"{low} to {high}"
