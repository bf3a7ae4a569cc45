"""What coordinator and worker say to each other: JSON over a pipe, never pickles."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from vigbench.records.metrics import Metrics
from vigbench.records.schema import Status
from vigbench.suites.case import Case
from vigbench.suites.former_names import with_former_names


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Errand(StrEnum):
    """What a worker is started for."""

    measure = "measure"  # one case, one outcome
    fit = "fit"  # one iteration: does the case fit in memory?
    describe = "describe"  # the device and the environment
    ceilings = "ceilings"  # what the device reaches at best
    contest = "contest"  # timed blocks on command, in turns with another worker
    check = "check"  # one implementation of an operator against float64
    profile = "profile"  # where the time and the memory of a case go
    survey = "survey"  # what a plan has to know of a subject
    evaluate = "evaluate"  # the accuracy of a checkpoint
    trial = "trial"  # kernel settings on command, each checked and timed

    @property
    def is_timed(self) -> bool:
        """Whether a time that its process takes is kept: then its threads matter."""
        return self in (Errand.measure, Errand.contest, Errand.profile, Errand.ceilings)


class Job(_Message):
    """Coordinator to worker, at its start."""

    case: Case
    errand: Errand = Field(default=Errand.measure, alias="task")  # as builds before this one call it
    budget_s: float = 1.0
    calibrate: bool = False
    memory_limit_mib: float | None = None
    argument: str = ""  # what else the errand needs, as JSON
    references: str | None = None  # folder for what references compute, shared by the cases of a run

    @property
    def starts_processes(self) -> bool:
        """Whether its process starts others, as for reading images, or for ranks: Python forbids that to a daemon."""
        return self.errand is Errand.evaluate or self.case.ranks > 1

    def to_json(self) -> str:
        """Without defaults and in former words, so that an older build in another environment knows every key."""
        job = self.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        return json.dumps({**job, "case": with_former_names(job["case"])})


class BlockRequest(_Message):
    """Coordinator to a contestant: time that many calls now; 0: prove the path that ran, and end.

    To a trial of kernel settings: time the settings in `argument`, as JSON; 0: end. To an evaluation: 0: end after this
    batch.
    """

    calls: int
    argument: str = ""


class StageReport(_Message):
    """Worker to coordinator: what it does now, and after a colon how far it has come: `timing: 3 of 18 windows`."""

    kind: Literal["stage"] = "stage"
    stage: str


class EvaluationReport(_Message):
    """An evaluation to the coordinator: the event of `EvaluationProgress` of that name, and what it is told."""

    kind: Literal["evaluation"] = "evaluation"
    event: str
    told: tuple[Any, ...]


class Ready(_Message):
    """Contestant to coordinator: checked and warm; one call takes about `call_s` seconds."""

    kind: Literal["ready"] = "ready"
    call_s: float


class Durations(_Message):
    """Contestant to coordinator: seconds of the calls of one block, in order."""

    kind: Literal["durations"] = "durations"
    seconds: tuple[float, ...]


class Outcome(_Message):
    """Worker to coordinator: how the job ended."""

    kind: Literal["outcome"] = "outcome"
    status: Status
    reason: str = ""
    operator: str | None = None
    marks: tuple[str, ...] = ()
    metrics: Metrics = Metrics()
    samples: dict[str, tuple[float, ...]] = Field(default_factory=dict)  # quantity -> values in the order taken
    operators: dict[str, int] = Field(default_factory=dict)  # name -> calls in one iteration
    kernels: dict[str, int] = Field(default_factory=dict)  # name -> launches in one iteration
    description: str = ""  # of the machine, as JSON


Message = StageReport | EvaluationReport | Ready | Durations | Outcome
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def decode(message: bytes) -> Message:
    """The worker's message in these bytes."""
    return _ADAPTER.validate_json(message)
