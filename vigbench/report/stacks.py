"""What a training step is made of, as plain data: its parts in time, and who holds its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigbench.report.metrics import number, percent
from vigbench.report.names import SIZES, labels, size_of
from vigbench.report.rows import Row, Setting, by_setting
from vigbench.report.style import FAMILY_ORDER


@dataclass(frozen=True)
class Stack:
    """Columns of the records that add up.

    Attributes:
        name: of the picture's files.
        parts: column -> what it is called.
        whole: the column of the whole, where it was measured apart from its parts.
        finding: a sentence with the shares of some parts, by column.
    """

    name: str
    quantity: str
    unit: str
    parts: Mapping[str, str]
    whole: str | None
    finding: str


STEP_TIME = Stack(
    "training_step_ms",
    "Time of a training step",
    "ms",
    {"forward_ms": "forward pass", "backward_ms": "backward pass", "optimizer_ms": "optimiser"},
    "latency_ms",
    "the backward pass takes {backward_ms} of a training step, the optimiser {optimizer_ms}",
)
STEP_MEMORY = Stack(
    "training_step_mib",
    "Memory at the peak of a training step",
    "MiB",
    {
        "weights_mib": "weights",
        "optimizer_state_mib": "optimiser state",
        "gradients_at_peak_mib": "gradients",
        "inputs_mib": "inputs",
        "activation_memory_mib": "activations",
    },
    None,
    "activations are {activation_memory_mib} of the peak memory, the optimiser's state {optimizer_state_mib}",
)
STACKS = (STEP_TIME, STEP_MEMORY)


@dataclass(frozen=True)
class Bar:
    """One case: the values of the parts, in order, and of the whole where it has its own."""

    label: str
    family: str
    values: tuple[float, ...]
    whole: float | None


@dataclass(frozen=True)
class StackPanel:
    """All cases of one setting and resolution."""

    setting: Setting
    resolution: int
    bars: tuple[Bar, ...]
    title: str


def stack_panels(rows: Sequence[Row], stack: Stack) -> list[StackPanel]:
    """One panel for each setting and resolution with cases that have all the parts; only training steps have them."""
    names = labels(rows)
    result = []
    for setting, group in by_setting(list(rows)).items():
        if setting.phase != "training_step":
            continue
        found: dict[int, list[Row]] = {}
        for row in sorted(group, key=_order):
            if row["status"] == "ok" and all(row[column] is not None for column in stack.parts):
                found.setdefault(row["resolution"], []).append(row)
        for resolution, members in sorted(found.items()):
            bars = tuple(_bar(row, names[row["subject"], row["implementation"]], stack) for row in members)
            result.append(StackPanel(setting, resolution, bars, f"{resolution} px, {setting.text()}"))
    return result


def stack_title(stack: Stack, panels: Sequence[StackPanel]) -> str:
    """The finding in the first panel: the shares of its parts, from the least to the most of all bars."""
    panel = panels[0]
    where = f"At {panel.resolution} px" + (f" ({panel.setting.text()})" if len(panels) > 1 else "")
    by_bar = [[value / sum(bar.values) for value in bar.values] for bar in panel.bars]
    shares = {column: _range(values) for column, values in zip(stack.parts, zip(*by_bar, strict=True), strict=True)}
    return f"{where} {stack.finding.format(**shares)}"


def stack_alternative(stack: Stack, panels: Sequence[StackPanel]) -> str:
    """The picture in words, with its numbers."""
    spoken = [f"{panel.title}: {'; '.join(_spoken(bar, stack) for bar in panel.bars)}" for panel in panels]
    return f"{stack.quantity} in {stack.unit}, by part. {'. '.join(spoken)}."


def _spoken(bar: Bar, stack: Stack) -> str:
    parts = zip(stack.parts.values(), bar.values, strict=True)
    return f"{bar.label} " + ", ".join(f"{name} {number(value)}" for name, value in parts)


def _range(shares: Sequence[float]) -> str:
    low, high = percent(min(shares)), percent(max(shares))
    return low if low == high else f"{low} to {high}"


def _bar(row: Row, label: str, stack: Stack) -> Bar:
    values = tuple(float(row[column]) for column in stack.parts)
    return Bar(label, row["family"], values, row[stack.whole] if stack.whole else None)


def _order(row: Row) -> tuple[int, int, str, str]:
    """By family, small models first."""
    families, sizes, size = list(FAMILY_ORDER), list(SIZES), size_of(row["subject"])
    family = families.index(row["family"]) if row["family"] in families else len(families)
    return (family, sizes.index(size) if size else len(sizes), row["subject"], row["implementation"])
