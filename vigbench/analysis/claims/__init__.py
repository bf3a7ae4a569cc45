"""Published claims as data, one file for each paper, and whether what was measured supports them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from vigbench.analysis.claims.evidence import Counts
from vigbench.analysis.claims.judged import ClaimVerdict, Judged
from vigbench.analysis.claims.judging import judge_claims
from vigbench.analysis.claims.schema import Claim, choose_claims, load_claims
from vigbench.analysis.claims.sources import read_sources
from vigbench.analysis.claims.text import as_frame

__all__ = ["Claim", "ClaimVerdict", "Judged", "check_claims", "choose_claims", "judge_claims", "load_claims"]


def check_claims(
    evidence: pd.DataFrame | str | Path | Iterable[str | Path], counts: Counts | None = None
) -> pd.DataFrame:
    """Hold the published claims against what was measured; `vigbench.measure_claims` measures what is missing.

    Args:
        evidence: a frame of `load_results`, or folders of runs, duels and evaluations, or patterns such as `results/*`.
        counts: of `vigbench.count_claimed_models`; without them parameters and multiply-adds are
            those of the records.

    Returns:
        One row for each number of each claim, and of those about speed and memory one for each device: `claim`,
        `statement`, `source`, `device_name`, `resolution` or `length`, `quantity`, `form`, `verdict` (supported,
        refuted, open), `reason`, `published` and its `tolerance`, `measured` with `measured_low` and `measured_high`,
        `beside` (other ways of counting, other implementations, a CPU's own ratio), `command`.

    Raises:
        ValueError: if a pattern names no evidence, or a folder is damaged.
    """
    if isinstance(evidence, pd.DataFrame):
        return as_frame(judge_claims(evidence, counts=counts))
    patterns = [evidence] if isinstance(evidence, str | Path) else list(evidence)
    found = read_sources([str(pattern) for pattern in patterns])
    return as_frame(judge_claims(found.frame, duels=found.duels, accuracies=found.accuracies, counts=counts))
