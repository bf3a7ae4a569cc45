"""All that a page says, put into words once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigbench.analysis.disturbance_text import contention, is_mostly_contended
from vigbench.report.findings import Findings
from vigbench.report.metrics import PLOTTED
from vigbench.report.rows import Setting
from vigbench.report.sentences.answer import AnswerLine, memory_line, speed_line
from vigbench.report.sentences.captions import Caption, captions, settings_text
from vigbench.report.sentences.claims import ClaimRow, claim_line, claim_rows
from vigbench.report.sentences.key_figures import key_figures
from vigbench.report.sentences.launching import launching_lines
from vigbench.report.sentences.runs import RunWords, about_runs
from vigbench.report.sentences.scaling import scaling_lines
from vigbench.report.sentences.threats import Threat, threats
from vigbench.report.sentences.titles import headline, metric_title
from vigbench.report.sentences.versus import VersusRow, changed_lines, versus_headline, versus_rows


@dataclass(frozen=True)
class Words:
    """What is found, in words.

    Attributes:
        settings: of all cases.
        disturbed: how many cases other processes disturbed, and what to do, where those are most; else empty.
        key_figures: (figure, what it is).
        captions: of the pictures, by metric or stack.
        setting_titles: the finding of each setting alone, by metric.
        threats: what could make the conclusions wrong.
        versus: base against head, case by case.
    """

    headline: str
    runs: RunWords
    settings: str
    disturbed: str
    key_figures: Sequence[tuple[str, str]]
    answers: Sequence[AnswerLine]
    captions: Mapping[str, Caption]
    setting_titles: Mapping[str, Mapping[Setting, str]]
    threats: Sequence[Threat]
    claims: Sequence[ClaimRow]
    versus: Sequence[VersusRow]


def put_into_words(findings: Findings) -> Words:
    """Every sentence of a page."""
    panels, head, versus = findings.panels, findings.head_panels, findings.versus
    statuses = Counter(row["status"] for row in findings.head)
    marked = sum(bool(row["marks"]) for row in findings.head)
    claims = claim_rows(findings)
    runs = about_runs(findings.cases.rows, findings.infos)
    return Words(
        headline=versus_headline(versus) if versus else headline(panels, statuses),
        runs=runs,
        settings=settings_text([panel for group in panels.values() for panel in group]),
        disturbed=contention(findings.head) if is_mostly_contended(findings.head) else "",
        key_figures=key_figures(head, statuses, marked) if findings.head else [],
        answers=[
            *(changed_lines(versus) if versus else []),
            *speed_line(head),
            *launching_lines(head),
            *scaling_lines(findings),
            *memory_line(head),
            *claim_line(claims),
        ],
        captions=captions(findings, runs),
        setting_titles={
            metric.column: {panel.setting: metric_title(metric, [panel]) for panel in panels[metric.column]}
            for metric in PLOTTED
        },
        threats=threats(findings),
        claims=claims,
        versus=versus_rows(versus) if versus else [],
    )
