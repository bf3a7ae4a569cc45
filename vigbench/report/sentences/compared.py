"""Two runs that were compared: what a page needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Versus:
    """What `vigbench.analysis.compare.compare` found for two runs.

    Attributes:
        base, head: the runs' names, as in the frame's column `run`.
        frame: its result.
        margin: smallest difference that matters, as a share.
    """

    base: str
    head: str
    frame: pd.DataFrame
    margin: float
