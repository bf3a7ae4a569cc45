"""Numbers that must not grow at all from one build to the next, because nothing about them is random."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from vigbench.analysis.table import case_label, escape_markdown
from vigbench.suites.case import Case

DETERMINISTIC = {
    "params": "parameters",
    "gmacs": "10^9 multiply-adds",
    "executed_gmacs": "10^9 executed multiply-adds",
    "operator_calls": "operator calls",
    "kernel_launches": "kernel launches",
    "peak_memory_mib": "peak memory, MiB",
}
ROUNDING = 1e-9  # decimal digits of a CSV file


def find_growth(base: pd.DataFrame, head: pd.DataFrame) -> pd.DataFrame:
    """Compare the deterministic metrics of two runs, case by case.

    Args:
        base, head: frames of `load_results`; cases are matched by their settings.

    Returns:
        One row for each case and metric that both have a value for: the settings, `metric`, `base`, `head` and
        `grown`, whether head is larger.
    """
    settings = list(Case.model_fields)
    both = base.merge(head, on=settings, suffixes=("_base", "_head"))
    parts = []
    for metric in DETERMINISTIC:
        part = both[settings].copy()
        part["metric"] = metric
        part["base"] = pd.to_numeric(both[f"{metric}_base"])
        part["head"] = pd.to_numeric(both[f"{metric}_head"])
        parts.append(part.dropna(subset=["base", "head"]))
    found = pd.concat(parts, ignore_index=True)
    found["grown"] = found["head"] > found["base"] * (1 + ROUNDING)
    return found


def as_text(growth: pd.DataFrame) -> str:
    """What has grown, a line each, or that nothing has."""
    grown = growth[growth["grown"]]
    if grown.empty:
        return f"Deterministic metrics: nothing grew ({len(growth)} compared)."
    lines = [f"{_case(row)}: {DETERMINISTIC[row['metric']]} grew from {_plain(row['base'])} to {_plain(row['head'])}"
             for row in grown.to_dict("records")]  # fmt: skip
    return "\n".join([f"Deterministic metrics: {len(grown)} of {len(growth)} grew.", *lines])


def as_markdown(growth: pd.DataFrame) -> str:
    """The same for a pull request."""
    first, *lines = as_text(growth).splitlines()
    points = [f"* {escape_markdown(line)}" for line in lines]
    return "\n".join([escape_markdown(first), "", *points]).rstrip()


def _case(row: Mapping[Hashable, Any]) -> str:
    return case_label({str(key): value for key, value in row.items()})


def _plain(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.6g}"
