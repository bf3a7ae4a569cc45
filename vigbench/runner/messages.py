"""What coordinator and worker say to each other: JSON lines over a pipe, never pickles."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from vigbench.records.schema import Metrics, Status
from vigbench.suites.case import Case


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(_Message):
    """Coordinator to worker: measure this case."""

    case: Case
    budget_s: float
    log_file: str


class Stage(_Message):
    """Worker to coordinator: what it does now."""

    kind: Literal["stage"] = "stage"
    stage: str


class Outcome(_Message):
    """Worker to coordinator: how the case ended."""

    kind: Literal["outcome"] = "outcome"
    status: Status
    reason: str = ""
    operator: str | None = None
    marks: tuple[str, ...] = ()
    metrics: Metrics = Metrics()
    samples: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    operators: dict[str, int] = Field(default_factory=dict)  # name -> calls in one iteration
    kernels: dict[str, int] = Field(default_factory=dict)  # name -> launches in one iteration


_ADAPTER: TypeAdapter[Stage | Outcome] = TypeAdapter(Stage | Outcome)


def decode(message: bytes) -> Stage | Outcome:
    """The message in these bytes."""
    return _ADAPTER.validate_json(message)
