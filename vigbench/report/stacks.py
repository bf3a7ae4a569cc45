"""What a training step is made of, as plain data: its parts in time, and who holds its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigbench.analysis.disturbance import LEFT_OUT
from vigbench.report.names import size_rank
from vigbench.report.rows import Cases, Row, Setting
from vigbench.report.style import family_rank


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
class StackedBar:
    """One case: the values of the parts, in order, and of the whole where it has its own.

    `disturbed`: whether they carry no conclusion.
    """

    label: str
    family: str
    values: tuple[float, ...]
    whole: float | None
    disturbed: bool = False


@dataclass(frozen=True)
class StackPanel:
    """All cases of one setting and size."""

    setting: Setting
    size: str
    bars: tuple[StackedBar, ...]
    title: str


Stacks = Mapping[str, Sequence[StackPanel]]  # by the name of the stack


def all_stacks(cases: Cases) -> Stacks:
    """The panels of every stack; empty where there are no training steps."""
    return {stack.name: stack_panels(cases, stack) for stack in STACKS}


def stack_panels(cases: Cases, stack: Stack) -> list[StackPanel]:
    """One panel for each setting and resolution with cases that have all the parts; only training steps have them."""
    result = []
    for setting, group in cases.groups.items():
        if setting.value("phase") != "training_step":
            continue
        found: dict[float, list[Row]] = {}
        for row in sorted(group, key=_order):
            if row["status"] == "ok" and all(row[column] is not None for column in stack.parts):
                found.setdefault(row["extent"], []).append(row)
        for extent, members in sorted(found.items()):
            size = setting.sweep.text(extent)
            result.append(
                StackPanel(setting, size, tuple(_bar(row, stack) for row in members), f"{size}, {setting.text()}")
            )
    return result


def _bar(row: Row, stack: Stack) -> StackedBar:
    values = tuple(float(row[column]) for column in stack.parts)
    disturbed = not row[LEFT_OUT].isdisjoint(stack.parts)
    return StackedBar(row["label"], row["family"], values, row[stack.whole] if stack.whole else None, disturbed)


def _order(row: Row) -> tuple[int, int, str, str]:
    """By family, small models first."""
    return (family_rank(row["family"]), size_rank(row["subject"]), row["subject"], row["implementation"])
