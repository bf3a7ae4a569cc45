"""A finished duel as it lies on the disk; `runner/duel_result.py` writes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from vigbench.records.files import read_object
from vigbench.suites.case import Case

INFO = "duel.json"


@dataclass(frozen=True)
class Duel:
    """One ratio of two cases that took turns.

    Attributes:
        name: of its folder.
        base, head: the two cases.
        device_name: where.
        ratio: time of head / time of base, with its 95% interval `low` to `high`.
        pairs: of processes.
    """

    name: str
    base: Case
    head: Case
    device_name: str
    ratio: float
    low: float
    high: float
    pairs: int


def read_duel(folder: Path) -> Duel | None:
    """The duel in a folder; None if it was interrupted before it had a result.

    Raises:
        ValueError: if the folder holds no duel, or a damaged one.
    """
    file = folder / INFO
    try:
        info = read_object(file)
    except OSError as error:
        raise ValueError(f"{folder} is not a duel: {INFO} cannot be read ({error.strerror}).") from error
    if "result" not in info:
        return None
    try:
        found = info["result"]
        sides = [Case.model_validate(info[side]["case"]) for side in ("base", "head")]
        ratio, low, high = (float(found[name]) for name in ("ratio", "low", "high"))
        if not 0 < low <= ratio <= high < math.inf:
            raise ValueError(f"a ratio of {ratio} ({low} to {high}) is none")
        return Duel(folder.name, sides[0], sides[1], str(info["device_name"]), ratio, low, high, int(found["pairs"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged: its cases or its result are not as vigbench writes them.") from error
