"""What an earlier case of the run has counted for the same model at the same size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch

from vigbench.measure.cost import Cost
from vigbench.records.fingerprint import code_hash
from vigbench.subjects.own import is_own
from vigbench.suites.axes import ALL, SLIDING
from vigbench.suites.case import Case
from vigbench.worker.references import write_whole

# of one item, forward
WITHOUT_EFFECT = {axis.name for axis in ALL if not axis.of_size} - {"precision", "memory_format", *SLIDING}


def kept_cost(folder: Path | None, case: Case, count: Callable[[], Cost]) -> Cost:
    """The count of a case: that of an earlier one, or what `count` says now.

    A factory's model may be another one each time, and is counted each time.

    Args:
        folder: where the run keeps them; None: nowhere.
        case: what is counted.
        count: counts it; what it raises is raised.
    """
    if folder is None or is_own(case.subject):
        return count()
    known = [case.model_dump_json(exclude=WITHOUT_EFFECT), torch.__version__, code_hash()]
    file = folder / f"{hashlib.sha256(json.dumps(known).encode()).hexdigest()}.json"
    with suppress(OSError, ValueError, TypeError):  # not there, or damaged
        return Cost(**json.loads(file.read_text()))
    cost = count()
    if cost.refusal:
        return cost
    with suppress(OSError):
        write_whole(file, json.dumps(asdict(cost)).encode())
    return cost
