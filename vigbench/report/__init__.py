"""Pictures and pages from the records of a run; nothing here measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_report"]


def write_report(frame: pd.DataFrame, run_info: Mapping[str, Any], out: Path) -> Path:
    """Write `out/report.html` and `out/figures/<metric>.png|svg`; return the path of the page.

    `frame` has one row a case, as `records.load.load_results` returns it; `run_info` is the run's `run.json`.
    """
    from vigbench.report.html import write  # matplotlib and jinja2 load only when a report is written

    return write(frame, run_info, Path(out))
