"""Pictures and pages from the records of runs; nothing here measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigbench.report.sentences.compared import Versus

if TYPE_CHECKING:
    import pandas as pd

    from vigbench.analysis.claims.sources import Sources

__all__ = ["Versus", "write_report"]


def write_report(
    frame: pd.DataFrame,
    run_infos: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    out: Path,
    *,
    versus: Versus | None = None,
    evidence: Sources | None = None,
) -> Path:
    """Write `out/report.html` and `out/figures/<metric>.png|svg|pdf`; return the path of the page.

    Args:
        frame: one row a case, as `records.load.load_results` returns it; of several runs, or of base and head, all.
        run_infos: `run.json` of the run, or those of several. Their `run` is what the frame's column `run` says.
        out: the folder; made where it is missing.
        versus: a comparison of two runs in the frame, which is then the page's first answer.
        evidence: duels and evaluations, which decide published claims about speed and accuracy.
    """
    from vigbench.report.page.content import write  # matplotlib and jinja2 load only when a report is written

    return write(frame, run_infos, Path(out), versus, evidence)
