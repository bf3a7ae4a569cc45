"""Base against head: the comparison of two runs as the page's first answer and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vigbench.analysis.table import case_label, printable
from vigbench.report.findings import Versus
from vigbench.report.sentences.answer import AnswerLine

MOST_CHANGED = 3
VERDICTS = ("SLOWER", "FASTER", "SAME", "INCONCLUSIVE")


@dataclass(frozen=True)
class VersusRow:
    """One case: its label, both values with unit, ratio and interval as text, verdict, note."""

    case: str
    base: str
    head: str
    ratio: str
    interval: str
    verdict: str
    note: str
    worse: bool


def versus_headline(versus: Versus) -> str:
    """`head against base: of 40 cases 2 slower, 1 faster, 30 the same`, and how many are inconclusive."""
    frame = versus.frame
    counts = Counter(frame["verdict"])
    lost = int(frame["regression"].sum()) - counts["SLOWER"]
    words = {"SLOWER": "slower", "FASTER": "faster", "SAME": "the same", "INCONCLUSIVE": "inconclusive"}
    parts = [f"{counts[verdict]} {words[verdict]}" for verdict in VERDICTS if counts[verdict]]
    parts += [f"{lost} no longer ok"] if lost else []
    base, head = printable(versus.base), printable(versus.head)
    return f"{head} against {base}: of {len(frame)} cases {', '.join(parts) or 'none compares'}"


def changed_lines(versus: Versus) -> list[AnswerLine]:
    """The cases that are worse or faster, the most important first."""
    rows = [row for row in versus_rows(versus) if row.worse or row.verdict == "faster"]
    texts = [f"{row.case}: {row.verdict}, ratio {row.ratio} ({row.interval})" if row.ratio else
             f"{row.case}: {row.note}" for row in rows[:MOST_CHANGED]]  # fmt: skip
    more = len(rows) - len(texts)
    return [AnswerLine("Changed", (*texts, *([f"and {more} more"] if more else [])))] if rows else []


def versus_rows(versus: Versus) -> list[VersusRow]:
    """What is worse first, then what is faster, then the rest, the largest change first."""
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in versus.frame.to_dict("records")]
    rows.sort(key=_urgency)
    return [
        VersusRow(
            printable(case_label(row)),
            _side(row, "base"),
            _side(row, "head"),
            "" if _absent(row["ratio"]) else f"{row['ratio']:.3f}",
            "" if _absent(row["ratio"]) else f"{row['ratio_low']:.3f} to {row['ratio_high']:.3f}",
            str(row["verdict"]).lower(),
            printable(row["note"]),
            bool(row["regression"]),
        )
        for row in rows
    ]


def _urgency(row: Mapping[str, Any]) -> tuple[bool, int, float]:
    change = 0.0 if _absent(row["ratio"]) else abs(row["ratio"] - 1)
    return (not row["regression"], VERDICTS.index(row["verdict"]), -change)


def _side(row: Mapping[str, Any], side: str) -> str:
    value, status = row[side], row[f"{side}_status"]
    if not _absent(value):
        return f"{value:.4g}"
    return "" if _absent(status) else str(status).replace("_", " ")


def _absent(value: object) -> bool:
    return value is None or value != value  # NaN is not itself
