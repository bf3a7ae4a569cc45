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
    counts = Counter(result.verdict for result in judged)
    parts = [f"{counts[verdict]} {verdict}" for verdict in ClaimVerdict if counts[verdict]]
    turned = sum(result.holds_as_counted for result in judged)
    which = "all" if turned == counts[ClaimVerdict.refuted] else f"{turned} of the"
    note = f"; {which} refuted claims hold by the paper's own counting" if turned else ""
    count = len({result.claim.id for result in judged})
    what = f"{count} claims" if count == len(judged) else f"{len(judged)} verdicts on {count} claims"
    return f"{what}: {', '.join(parts) or 'none'}{note}."


def as_text(judged: Sequence[Judged]) -> str:
    """A paragraph for each claim, paper by paper, and the summary last."""
    lines: list[str] = []
    for paper, group in groupby(judged, key=lambda result: result.claim.paper):
        lines += [f"{paper.title} ({paper.url})", *_wrapped(paper.unknown, 0), ""]
        for result in group:
            head = f"{result.verdict.upper():<{INDENT}}{result.claim.statement}"
            lines += textwrap.wrap(head, WIDTH, subsequent_indent=" " * INDENT)
            for text in (_numbers(result), result.beside_text, _counted(result), _why(result), result.claim.note):
                lines += _wrapped(text, INDENT)
            lines += [" " * INDENT + result.command] if result.command else []  # never broken: it is there to be copied
            lines.append("")
    open_ones = [result.claim for result in judged if result.verdict is ClaimVerdict.open]
    waiting = any(claim.quantity.needs_gpu and not claim.lacks for claim in open_ones)
    advice = ["To decide those about speed and memory, on a machine with a GPU: vigbench claims --measure"] * waiting
    return "\n".join([*lines, summary(judged), *advice])


def as_markdown(judged: Sequence[Judged]) -> str:
    """GitHub-flavoured Markdown: the summary, then a table for each paper."""
    parts = [summary(judged)]
    for paper, group in groupby(judged, key=lambda result: result.claim.paper):
        table = markdown(HEADS, [_markdown_cells(result) for result in group])
        parts += [f"### {escape_markdown(paper.title)}", escape_markdown(paper.unknown), table]
    return "\n\n".join(parts)


def as_csv(judged: Sequence[Judged]) -> str:
    """One row for each number of each claim, full precision."""
    return as_frame(judged).to_csv(index=False).rstrip("\n")


def as_json(judged: Sequence[Judged]) -> str:
    """The claims, each with its points and what stands beside them."""
    return json.dumps([_object(result) for result in judged], indent=2)


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
            "claim": result.claim.id,
            "statement": result.claim.statement,
            "source": f"{result.claim.paper.name}: {result.claim.source}",
            "device_name": result.device,
            "resolution": point.point.resolution,
            "length": point.point.length,
            "quantity": result.claim.unit or result.claim.quantity.value,
            "form": result.claim.form.value,
            "verdict": point.verdict.value,
            "reason": point.reason,
            "published": point.point.published,
            "tolerance": result.claim.allowed(point.point.published),
            "measured": point.measured.value if point.measured else None,
            "measured_low": point.measured.low if point.measured else None,
            "measured_high": point.measured.high if point.measured else None,
            "beside": result.beside_at(point),
            "command": point.command,
        }
        for result in judged
        for point in result.points
    ]
    return pd.DataFrame(rows)


def _object(result: Judged) -> dict[str, Any]:
    claim = result.claim
    return {
        "claim": claim.id,
        "statement": claim.statement,
        "source": f"{claim.paper.url}: {claim.source}",
        "device_name": result.device,
        "verdict": result.verdict.value,
        "reason": result.reason,
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
            for point in result.points
        ],
    }


def _markdown_cells(result: Judged) -> list[str]:
    head = (result.verdict, result.claim.statement, _device(result), result.published)
    cells = (*head, result.measured_text, result.beside_text, _why(result))
    return [*map(escape_markdown, cells), f"`{result.command}`" if result.command else ""]


def _numbers(result: Judged) -> str:
    where = f" on {result.device}" if result.claim.quantity.needs_gpu else ""
    where += f" against {result.claim.theirs}" if result.claim.theirs and result.claim.theirs.label else ""
    measured = f"; measured{where}: {result.measured_text}" if result.measured_text else ""
    return f"published: {result.published} ({result.claim.source}){measured}"


def _device(result: Judged) -> str:
    return result.device if result.claim.quantity.needs_gpu and not result.claim.lacks else "any"


def _counted(result: Judged) -> str:
    return f"the paper counts {result.claim.counted}" if result.claim.counted else ""


def _why(result: Judged) -> str:
    if not result.reason:
        return ""
    return (
        f"{result.verdict}: {result.reason}"
        if result.verdict is ClaimVerdict.open
        else f"{result.verdict} {result.reason}"
    )


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)
