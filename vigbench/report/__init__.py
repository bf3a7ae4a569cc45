"""Pictures and pages from the records of runs; nothing here measures.

What a page holds is worked out once (`findings.py`), then put into words (`sentences/`), drawn (`figures/`) and laid
out (`page/`), in this order. pandas, matplotlib and jinja2 load only when something is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from vigbench.analysis.claims.sources import Sources
    from vigbench.report.findings import Versus

__all__ = ["Versus", "write_page"]


def write_page(
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
    from vigbench.report.figures.all import draw_all
    from vigbench.report.findings import find
    from vigbench.report.page.content import write_page
    from vigbench.report.sentences.words import put_into_words

    findings = find(frame, run_infos, versus, evidence)
    words = put_into_words(findings)
    pictures = draw_all(findings, words.captions, Path(out) / "figures")
    return write_page(findings, words, pictures, Path(out))


def __getattr__(name: str) -> Any:
    if name != "Versus":
        raise AttributeError(f"module 'vigbench.report' has no attribute {name!r}")
    from vigbench.report.findings import Versus

    return Versus
