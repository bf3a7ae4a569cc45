"""Records that their run's folder could not take, kept in the folder for temporary files until it can again."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from vigbench.records.files import append_line
from vigbench.records.schema import Record, Status, first_mistake


class Rescued(BaseModel):
    """One line of a rescue file: a record with all that belongs to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    record: Record
    samples: list[dict[str, list[float]]]
    operators: dict[str, int]
    kernels: dict[str, int]


def rescue_file(run: str) -> Path:
    """Where records of the run with the identity `run` are kept; OSError where there is no folder for it."""
    return Path(tempfile.gettempdir()) / f"vigbench-rescue-{re.sub(r'[^A-Za-z0-9.-]', '-', run)}.jsonl"


def save(file: Path, rescued: Rescued) -> None:
    """Append one record to a rescue file that only its owner can read; OSError where that fails."""
    append_line(file, rescued.model_dump_json(), mode=0o600)


def read_rescued(file: Path) -> list[Rescued]:
    if not file.is_file():
        return []
    lines = file.read_bytes().split(b"\n")[:-1]  # an unfinished last line was reported as not saved
    try:
        return [Rescued.model_validate_json(line) for line in lines]
    except ValidationError as error:
        raise ValueError(
            f"{file} should hold rescued records, but is damaged ({first_mistake(error)}). "
            "Move it away to go on without them."
        ) from error


def supersedes(rescued: Record, held: Record | None) -> bool:
    """Whether a rescued record is news to a journal that holds `held` of the same case."""
    if held is None:
        return True
    ranks = [(record.status is not Status.pruned, record.started_at) for record in (rescued, held)]
    return ranks[0] >= ranks[1] and rescued.model_dump_json() != held.model_dump_json()
