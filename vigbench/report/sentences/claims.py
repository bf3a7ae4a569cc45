"""Published claims and what this page's runs say of them, as plain rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vigbench.analysis.claims import judge_claims
from vigbench.analysis.claims.sources import Sources
from vigbench.report.findings import Findings
from vigbench.report.sentences.answer import AnswerLine

ORDER = ("refuted", "supported", "open")
MOST_ON_TOP = 2  # decided claims on the first screen


@dataclass(frozen=True)
class ClaimRow:
    """One claim on one device, every field a text for people."""

    id: str
    statement: str
    source: str
    verdict: str
    reason: str
    published: str
    measured: str
    beside: str
    device: str
    command: str
    holds_as_counted: bool


def claim_rows(findings: Findings) -> list[ClaimRow]:
    """Every claim that these runs have a number for, decided ones first; none where they have nothing to say."""
    if not findings.cases.rows:
        return []
    named = findings.evidence or Sources(None, [], [])
    rows = [
        ClaimRow(
            result.claim.id,
            result.claim.statement,
            result.claim.source,
            str(result.verdict),
            result.reason,
            result.published,
            result.measured_text,
            result.beside_text,
            result.device,
            result.command,
            result.holds_as_counted,
        )
        for result in judge_claims(findings.frame, duels=named.duels, accuracies=named.accuracies)
    ]
    known = [row for row in rows if row.measured or row.beside]
    return sorted(known, key=lambda row: (ORDER.index(row.verdict), "figure" in row.id))  # the headlines first


def claim_line(rows: Sequence[ClaimRow]) -> list[AnswerLine]:
    """The verdicts in short, for the first screen; the decided claims by name."""
    if not rows:
        return []
    counts = Counter(row.verdict for row in rows)
    total = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict])
    names = {"refuted": "Refuted", "supported": "Supported"}
    decided = [
        f"{names[row.verdict]}: {row.statement}; measured {row.measured}"
        + (", but it holds as the paper counts" if row.holds_as_counted else "")
        for row in rows
        if row.verdict in names
    ]
    first = f"{len(rows)} measured here: {total}; the table below explains each"
    return [AnswerLine("Published claims", (first, *decided[:MOST_ON_TOP]))]
