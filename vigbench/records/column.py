"""How a column of the records is declared: its unit, what several processes make together, where it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, NamedTuple

from pydantic import Field


class QuantityKind(Enum):
    """What a column measures."""

    time = "time"
    rate = "rate"  # items, bytes or operations per second: falls where the time grows
    memory = "memory"
    cost = "cost"  # parameters, multiply-adds, what ranks send: they follow from the case, nothing about them is timed
    energy = "energy"
    ratio = "ratio"
    count = "count"
    state = "state"  # of the device meanwhile: power, clock, temperature
    text = "text"


class Units(Enum):
    """Units, and what is measured in them; `{item}` is what one item of the case is: image, sequence."""

    ms = "ms", QuantityKind.time
    s = "s", QuantityKind.time
    items_per_s = "{item}s/s", QuantityKind.rate
    voxels_per_s = "voxels/s", QuantityKind.rate
    gb_per_s = "GB/s", QuantityKind.rate
    tflop_per_s = "TFLOP/s", QuantityKind.rate
    mib = "MiB", QuantityKind.memory
    sent_mib = "MiB", QuantityKind.cost
    gmacs = "GMACs", QuantityKind.cost
    parameters = "", QuantityKind.cost
    joule = "J", QuantityKind.energy
    watt = "W", QuantityKind.state
    mhz = "MHz", QuantityKind.state
    celsius = "°C", QuantityKind.state
    count = "", QuantityKind.count
    items = "{item}s", QuantityKind.count
    px = "px", QuantityKind.count
    tokens = "tokens", QuantityKind.count
    ratio = "", QuantityKind.ratio
    of_inputs_and_output = "of inputs and output", QuantityKind.ratio
    text = "", QuantityKind.text

    def __init__(self, text: str, kind: QuantityKind) -> None:
        self.template = text
        self.kind = kind

    def of(self, item: str = "item") -> str:
        """`ms`, `images/s`; empty where there is none."""
        return self.template.format(item=item)


class Combine(StrEnum):
    """What the values of several processes of one case make together; what a process does not know is left out."""

    same = "the same in each"  # follows from the case alone: where processes differ, the case is an error
    largest = "the largest"
    smallest = "the smallest"
    total = "their sum"
    middle = "their median"
    joined = "all, `;`-separated"
    estimate = "their geometric mean; the interval holds their spread"
    afterwards = "filled in after them"


@dataclass(frozen=True)
class Shown:
    """How the report shows a column: in the table of all cases, and in a plot where that is said.

    Attributes:
        name: its heading; `{item}` as in a unit.
        quantity: as in "needs 93% less <quantity>".
        models, operators: whether it gets a plot for these.
        across: whether two operators compare in it, not only implementations of one.
    """

    name: str
    quantity: str
    models: bool = False
    operators: bool = False
    higher_is_better: bool = False
    across: bool = True


class Compared(NamedTuple):
    """How `vigbench compare` compares a column: by raw samples of the first of these quantities that is there."""

    samples: tuple[str, ...]
    unit: str = ""  # where it says more than the column's


@dataclass(frozen=True)
class Column:
    """All that is known of a column.

    Attributes:
        interval: the columns of the lower and the upper end of its 95% interval.
        less: what having less of it is called; a column that has a law of growth over the size has this.
        deterministic: its name in sentences, where nothing about it is random: what a gate does not let grow.
        source: the column that says where the value comes from; values of two sources do not compare.
        stage: the stage of a case whose seconds it holds.
    """

    unit: Units
    combine: Combine
    interval: tuple[str, str] | None = None
    shown: Shown | None = None
    compared: Compared | None = None
    less: str = ""
    deterministic: str = ""
    source: str = ""
    stage: str = ""

    def __call__(self, schema: dict[str, Any]) -> None:
        """Adds what is declared to the column's JSON schema, as pydantic asks for it."""
        schema |= {"unit": self.unit.of(), "kind": self.unit.kind.value, "several_processes": str(self.combine)}

    def compared_unit(self, item: str) -> str:
        """What stands behind its values in a comparison."""
        return (self.compared and self.compared.unit) or self.unit.of(item)

    @property
    def kind(self) -> QuantityKind:
        """What it measures."""
        return self.unit.kind


def column(
    description: str,
    unit: Units,
    combine: Combine,
    *,
    interval: tuple[str, str] | None = None,
    shown: Shown | None = None,
    compared: Compared | None = None,
    less: str = "",
    deterministic: str = "",
    source: str = "",
    stage: str = "",
    formerly: str | None = None,
) -> Any:
    """A field of `Metrics`, empty until it is measured. `formerly`: its name in old records; else see `Column`."""
    declared = Column(unit, combine, interval, shown, compared, less, deterministic, source, stage)
    return Field(None, description=description, validation_alias=formerly, json_schema_extra=declared)
