"""Verdicts on claims as text: for a terminal, Markdown, CSV, JSON."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from vigbench.analysis.claims.judged import ClaimVerdict, Judged
from vigbench.analysis.table import escape_markdown
from vigbench.tabulate import markdown

WIDTH, INDENT = 110, 11
HEADS = ("verdict", "claim", "device", "published", "measured", "beside", "why", "measure again")


def summary(judged: Sequence[Judged]) -> str:
    """One sentence: how many claims have which verdict; on several devices a claim has several."""
    counts = Counter(one.verdict for one in judged)
    parts = [f"{counts[verdict]} {verdict}" for verdict in ClaimVerdict if counts[verdict]]
    turned = sum(one.holds_as_counted for one in judged)
    which = "all" if turned == counts[ClaimVerdict.refuted] else f"{turned} of the"
    note = f"; {which} refuted claims hold by the paper's own counting" if turned else ""
    count = len({one.claim.id for one in judged})
    what = f"{count} claims" if count == len(judged) else f"{len(judged)} verdicts on {count} claims"
    return f"{what}: {', '.join(parts) or 'none'}{note}."


def as_text(judged: Sequence[Judged]) -> str:
    """A paragraph for each claim, paper by paper, and the summary last."""
    lines: list[str] = []
    for paper, group in groupby(judged, key=lambda one: one.claim.paper):
        lines += [f"{paper.title} ({paper.url})", *_wrapped(paper.unknown, 0), ""]
        for one in group:
            head = f"{one.verdict.upper():<{INDENT}}{one.claim.statement}"
            lines += textwrap.wrap(head, WIDTH, subsequent_indent=" " * INDENT)
            for text in (_numbers(one), one.beside_text, _counted(one), _why(one), one.claim.note):
                lines += _wrapped(text, INDENT)
            lines += [" " * INDENT + one.command, ""]  # never broken: it is there to be copied
    waiting = any(one.verdict is ClaimVerdict.open and one.claim.quantity.needs_gpu for one in judged)
    advice = ["To decide those about speed and memory, on a machine with a GPU: vigbench claims --measure"] * waiting
    return "\n".join([*lines, summary(judged), *advice])


def as_markdown(judged: Sequence[Judged]) -> str:
    """GitHub-flavoured Markdown: the summary, then a table for each paper."""
    parts = [summary(judged)]
    for paper, group in groupby(judged, key=lambda one: one.claim.paper):
        table = markdown(HEADS, [_markdown_cells(one) for one in group])
        parts += [f"### {escape_markdown(paper.title)}", escape_markdown(paper.unknown), table]
    return "\n\n".join(parts)


def as_csv(judged: Sequence[Judged]) -> str:
    """One row for each number of each claim, full precision."""
    return as_frame(judged).to_csv(index=False).rstrip("\n")


def as_json(judged: Sequence[Judged]) -> str:
    """The claims, each with its points and what stands beside them."""
    return json.dumps([_object(one) for one in judged], indent=2)


FORMATS: dict[str, Callable[[Sequence[Judged]], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}


def as_frame(judged: Sequence[Judged]) -> pd.DataFrame:
    """One row for each number of each claim, see `check_claims`."""
    rows = [
        {
            "claim": one.claim.id,
            "statement": one.claim.statement,
            "source": f"{one.claim.paper.name}: {one.claim.source}",
            "device_name": one.device,
            "resolution": point.point.resolution,
            "length": point.point.length,
            "quantity": one.claim.quantity.value,
            "form": one.claim.form.value,
            "verdict": point.verdict.value,
            "reason": point.reason,
            "published": point.point.published,
            "tolerance": one.claim.allowed(point.point.published),
            "measured": point.measured.value if point.measured else None,
            "measured_low": point.measured.low if point.measured else None,
            "measured_high": point.measured.high if point.measured else None,
            "beside": one.beside_at(point),
            "command": point.command,
        }
        for one in judged
        for point in one.points
    ]
    return pd.DataFrame(rows)


def _object(one: Judged) -> dict[str, Any]:
    claim = one.claim
    return {
        "claim": claim.id,
        "statement": claim.statement,
        "source": f"{claim.paper.url}: {claim.source}",
        "device_name": one.device,
        "verdict": one.verdict.value,
        "reason": one.reason,
        "counted": claim.counted,
        "note": claim.note,
        "points": [
            {
                "resolution": point.point.resolution,
                "length": point.point.length,
                "published": point.point.published,
                "verdict": point.verdict.value,
                "measured": vars(point.measured) if point.measured else None,
                "beside": [
                    {"label": other.label, **vars(other.amount), "verdict": other.verdict and other.verdict.value}
                    for other in point.beside
                ],
                "command": point.command,
            }
            for point in one.points
        ],
    }


def _markdown_cells(one: Judged) -> list[str]:
    head = (one.verdict, one.claim.statement, _device(one), one.published)
    cells = (*head, one.measured_text, one.beside_text, _why(one))
    return [*map(escape_markdown, cells), f"`{one.command}`"]


def _numbers(one: Judged) -> str:
    where = f" on {one.device}" if one.claim.quantity.needs_gpu else ""
    where += f" against {one.claim.theirs}" if one.claim.theirs and one.claim.theirs.label else ""
    measured = f"; measured{where}: {one.measured_text}" if one.measured_text else ""
    return f"published: {one.published} ({one.claim.source}){measured}"


def _device(one: Judged) -> str:
    return one.device if one.claim.quantity.needs_gpu else "any"


def _counted(one: Judged) -> str:
    return f"the paper counts {one.claim.counted}" if one.claim.counted else ""


def _why(one: Judged) -> str:
    if not one.reason:
        return ""
    return f"{one.verdict}: {one.reason}" if one.verdict is ClaimVerdict.open else f"{one.verdict} {one.reason}"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)
