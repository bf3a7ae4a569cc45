"""A comparison as text: a table for a terminal, Markdown for a pull request, CSV, JSON."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from vigbench.analysis.sides import SETTINGS
from vigbench.records.metrics import COLUMNS
from vigbench.stats.verdict import Verdict
from vigbench.suites.case import Case
from vigbench.tabulate import aligned, markdown

HEADS = ("case", "base", "head", "time, head / base", "95% interval", "verdict", "note")
NUMBERS = (1, 2, 3)  # of these columns
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\`*_[]|~#!"})


def case_label(row: Mapping[str, Any]) -> str:
    """The case of a row in one short line."""
    return Case.model_validate({name: row[name] for name in SETTINGS}).label()


def summary(frame: pd.DataFrame, margin: float) -> str:
    """One sentence: how many cases have which verdict."""
    counts = Counter(frame["verdict"])
    parts = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    failed = int(frame["regression"].sum()) - counts[Verdict.SLOWER]
    lost = f"; {failed} no longer ok" if failed else ""
    return f"{len(frame)} cases, margin {margin:.1%}: {', '.join(parts) or 'nothing to compare'}{lost}."


def as_table(frame: pd.DataFrame, margin: float) -> str:
    """Aligned columns for a terminal, the regressions first, and the summary last."""
    return f"{aligned([HEADS, *map(_cells, _ordered(frame))])}\n{summary(frame, margin)}"


def as_markdown(frame: pd.DataFrame, margin: float) -> str:
    """GitHub-flavoured Markdown: the summary, what is worse in the open, the rest folded. Names stay text."""
    rows = _ordered(frame)
    worse = [row for row in rows if row["regression"]]
    rest = [row for row in rows if not row["regression"]]
    parts = [summary(frame, margin)]
    if worse:
        parts.append(_markdown_table(worse))
    if rest:
        parts += ["<details><summary>The other cases</summary>", _markdown_table(rest), "</details>"]
    return "\n\n".join(parts)


def as_csv(frame: pd.DataFrame, margin: float) -> str:  # noqa: ARG001  all forms have one signature
    """All columns, full precision."""
    return frame.to_csv(index=False).rstrip("\n")


def as_json(frame: pd.DataFrame, margin: float) -> str:
    """The margin, and the rows as a list of objects; what is missing is null."""
    rows = json.loads(frame.to_json(orient="records", double_precision=15))
    return json.dumps({"margin": margin, "cases": rows}, indent=2)


FORMATS: dict[str, Callable[[pd.DataFrame, float], str]] = {
    "table": as_table,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}


def escape_markdown(text: str) -> str:
    """Text that no Markdown or HTML reader takes for markup."""
    return html.escape(" ".join(text.split()).translate(_MARKDOWN), quote=False)


def printable(text: str) -> str:
    """Control characters move a terminal's cursor, are not allowed in XML and have no glyph: they are replaced."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _ordered(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows, regressions first, else in their order."""
    ordered = frame.sort_values("regression", ascending=False, kind="stable")
    return [{str(key): value for key, value in row.items()} for row in ordered.to_dict("records")]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    interval = "" if pd.isna(row["ratio"]) else f"{row['ratio_low']:.3f} to {row['ratio_high']:.3f}"
    ratio = "" if pd.isna(row["ratio"]) else f"{row['ratio']:.3f}"
    unit = value_unit(row["metric"], row["unit"])
    values = [_value(row[side], row[f"{side}_status"], unit) for side in ("base", "head")]
    return (case_label(row), *values, ratio, interval, str(row["verdict"]), row["note"])


def value_unit(metric: str, item: Any) -> str:
    """What stands behind the values of a metric: `ms`, `images/s`; `item` may be missing."""
    return COLUMNS[metric].compared_unit("item" if pd.isna(item) else str(item))


def _value(value: Any, status: Any, unit: str) -> str:
    if status is None or pd.isna(status):
        return "-"
    return str(status) if pd.isna(value) else f"{value:.4g} {unit}"


def _markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    return markdown(HEADS, [[escape_markdown(cell) for cell in _cells(row)] for row in rows], NUMBERS)
