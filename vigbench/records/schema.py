"""What a record holds: one row for each case, units in every name."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from vigbench.records.metrics import Metrics
from vigbench.suites.case import Case

PROTOCOL = 1  # the version of docs/measurement.md by which the numbers are obtained


class Status(StrEnum):
    """How a case ended; exactly one for each case."""

    ok = "ok"
    out_of_memory = "out_of_memory"
    timeout = "timeout"
    crashed = "crashed"
    wrong_result = "wrong_result"
    unsupported = "unsupported"
    pruned = "pruned"
    error = "error"


# of the code that was measured, not of the machine or the settings
FAULTS = (Status.error, Status.crashed, Status.wrong_result)


class Record(BaseModel):
    """The one row that a case ends in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: str = Field(description="hash of the settings")
    case: Case
    family: str = Field(description="family: vig, deit, vim, linear, windowed, cnn or other")
    operator: str | None = Field(None, description="operator that `implementation` computes: gla, attention, or empty")
    unit: str = Field("", description="what one item of a batch is: image or sequence", validate_default=True)
    status: Status = Field(description="how the case ended")
    reason: str = Field("", description="why the status is not ok, and what to do")
    marks: tuple[str, ...] = Field((), description="warnings on an ok record (docs/measurement.md), `;`-separated")
    started_at: str = Field(description="UTC, ISO 8601")
    metrics: Metrics = Field(default_factory=Metrics)

    @field_validator("unit")
    @classmethod
    def _of_old_records(cls, unit: str, info: ValidationInfo) -> str:
        """Records had no unit once: an image where the case has a resolution, a sequence where it has a length."""
        case = info.data.get("case")
        return unit or ("sequence" if case is not None and case.length is not None else "image")

    def row(self) -> dict[str, Any]:
        """The record as one flat row of the CSV file, in the order of `columns()`."""
        flat: dict[str, Any] = {
            **self.model_dump(mode="json", exclude={"case", "metrics"}),
            **self.case.model_dump(mode="json"),
            **self.metrics.model_dump(mode="json"),
            "marks": ";".join(self.marks),
        }
        return {name: flat[name] for name in columns()}


def columns() -> dict[str, str]:
    """Column names of `records.csv` in order, each with its description."""
    own = {
        name: field.description or "" for name, field in Record.model_fields.items() if name not in ("case", "metrics")
    }
    settings = {name: field.description or "" for name, field in Case.model_fields.items()}
    metrics = {name: field.description or "" for name, field in Metrics.model_fields.items()}
    head = {name: own.pop(name) for name in ("case_id", "family")}
    first = {name: settings.pop(name) for name in ("subject",)}
    status = {name: own.pop(name) for name in ("status", "reason", "marks")}
    what = {name: own.pop(name) for name in ("operator", "unit")}
    return {**head, **first, **what, **settings, **status, **metrics, **own}


def names_in(cell: Any) -> set[str]:
    """The names in a cell that holds several, `;`-separated, or none."""
    return set(cell.split(";")) - {""} if isinstance(cell, str) else set()


def first_mistake(error: ValidationError) -> str:
    """The first thing that does not fit, for a message."""
    mistake = error.errors(include_url=False, include_input=False)[0]
    message = mistake["msg"].removeprefix("Value error, ")
    return f"{'.'.join(map(str, mistake['loc']))}: {message}".removeprefix(": ")
