"""Numbers that must not grow at all from one build to the next, because nothing about them is random."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from vigbench.analysis.table import case_label, escape_markdown
from vigbench.records.metrics import COLUMNS
from vigbench.records.schema import Status, names_in
from vigbench.suites.case import Case

UNCOUNTED = "uncounted_operators"
DETERMINISTIC = {name: column.deterministic for name, column in COLUMNS.items() if column.deterministic}
ROUNDING = 1e-9  # decimal digits of a CSV file


def find_growth(base: pd.DataFrame, head: pd.DataFrame) -> pd.DataFrame:
    """Compare the deterministic metrics of two runs, case by case.

    Args:
        base, head: frames of `load_results`; cases are matched by their settings, and looked at where both are ok.

    Returns:
        One row for each case and metric that base has a value for: the settings, `metric`, `base`, `head` and
        `grown`: whether head is larger, or no longer known. `uncounted_operators` is the number of operators without a
        count (head: those of base and the new ones), since multiply-adds that are not counted cannot grow.
    """
    settings = list(Case.model_fields)
    both = base[base["status"] == Status.ok].merge(
        head[head["status"] == Status.ok], on=settings, suffixes=("_base", "_head")
    )
    parts = []
    for metric in DETERMINISTIC:
        part = both[settings].copy()
        part["metric"] = metric
        sides = both[f"{metric}_base"], both[f"{metric}_head"]
        if metric == UNCOUNTED:
            pairs = [(names_in(before), names_in(after)) for before, after in zip(*sides, strict=True)]
            part["base"] = [float(len(before)) for before, _ in pairs]
            part["head"] = [float(len(before | after)) for before, after in pairs]
        else:
            part["base"], part["head"] = (pd.to_numeric(side) for side in sides)
        parts.append(part.dropna(subset=["base"]))
    found = pd.concat(parts, ignore_index=True)
    found["grown"] = found["head"].isna() | (found["head"] > found["base"] * (1 + ROUNDING))
    return found


def as_text(growth: pd.DataFrame) -> str:
    """What has grown, a line each, or that nothing has."""
    grown = growth[growth["grown"]]
    if grown.empty:
        return f"Deterministic metrics: nothing grew ({len(growth)} compared)."
    lines = [f"{_case(row)}: {DETERMINISTIC[row['metric']]} {_change(row)}" for row in grown.to_dict("records")]
    return "\n".join([f"Deterministic metrics: {len(grown)} of {len(growth)} grew.", *lines])


def as_markdown(growth: pd.DataFrame) -> str:
    """The same for a pull request."""
    first, *lines = as_text(growth).splitlines()
    points = [f"* {escape_markdown(line)}" for line in lines]
    return "\n".join([escape_markdown(first), "", *points]).rstrip()


def _case(row: Mapping[Hashable, Any]) -> str:
    return case_label({str(key): value for key, value in row.items()})


def _change(row: Mapping[Hashable, Any]) -> str:
    base = f"{row['base']:.10g}"
    return f"not known any more, was {base}" if pd.isna(row["head"]) else f"grew from {base} to {row['head']:.10g}"
