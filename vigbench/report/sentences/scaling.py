"""Crossovers and exponents for the first screen: from which size on the winner wins, and how time grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vigbench.analysis.crossovers import UNKNOWN, crossovers
from vigbench.analysis.curves import curve_name
from vigbench.analysis.scaling import fit_scaling
from vigbench.analysis.sides import SETTINGS
from vigbench.report.curves import Panel, SubjectCurve
from vigbench.report.findings import Findings
from vigbench.report.metrics import KERNEL, LATENCY, Metric
from vigbench.report.rows import Sweep
from vigbench.report.sentences.answer import MOST_NAMES, MOST_SETTINGS, UNTOLD, AnswerLine
from vigbench.report.sentences.phrases import listed, some
from vigbench.report.sentences.rivals import (
    best,
    common_extent,
    disturbed_share,
    find_rivals,
    undivided,
    with_a_conclusion,
)

KEYS = ("run", *SETTINGS)
ALWAYS_KNOWN = "always, where it is known"
WITHOUT_CROSSING = {
    "always": "than {} at every size",
    ALWAYS_KNOWN: "than {} at every undisturbed size",
    "never": "never faster than {}",
    "level": "about as fast as {}",
}


def scaling_lines(findings: Findings) -> list[AnswerLine]:
    """Where the winner overtakes each other curve, and the exponents; for the settings that the first screen names."""
    speed = next((metric for metric in (KERNEL, LATENCY) if findings.head_panels[metric.column]), None)
    if speed is None:
        return []
    crossing, growing = [], []
    panels = findings.head_panels[speed.column]
    for panel in panels[:MOST_SETTINGS]:
        if len(panel.extents) < 2:
            continue
        mine = [index for index, row in enumerate(findings.cases.rows) if row["setting"] == panel.setting]
        own = findings.frame.iloc[mine]
        own = own.drop_duplicates([name for name in KEYS if name in own], keep="last")
        labels = {curve_name(vars(curve)): curve.label for curve in panel.curves if curve.drawn}
        front, sweep = f"{panel.brief}: " if len(panels) > 1 else "", panel.setting.sweep
        why = f"{UNTOLD}: {disturbed_share([panel])}"
        winner = _winner(speed, panel)
        pairs = crossovers(own, speed.column, a=curve_name(vars(winner))) if winner else None
        if text := why if pairs is None else _crossings(pairs, labels, panel, why):
            crossing.append(front + text)
        if text := _exponents(fit_scaling(own, speed.column), labels, sweep, why):
            growing.append(front + text)
    lines = [AnswerLine("Crossover", tuple(crossing))] if crossing else []
    return [*lines, *([AnswerLine("Growth", tuple(growing))] if growing else [])]


def _winner(speed: Metric, panel: Panel) -> SubjectCurve | None:
    """ViG (GLA) where it is compared with DeiT (attention), else the fastest at the largest common size.

    None where every value was disturbed.
    """
    if rivals := find_rivals([panel], speed) or find_rivals([undivided(panel)], speed):
        return rivals.ours
    if not with_a_conclusion([panel]):
        return None
    extent, curves = common_extent(panel)
    return best(curves, speed, extent)


def _crossings(found: pd.DataFrame, labels: Mapping[str, str], panel: Panel, why: str) -> str:
    """The crossovers of one curve; `why` nothing can be told, where that is so of all."""
    sweep, widest = panel.setting.sweep, max(panel.extents)
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in found.to_dict("records")]
    rows = [row for row in rows if row["b"] in labels and row["smallest"] < row["largest"]]
    if not rows:
        return ""
    untold = [labels[row["b"]] for row in rows if row["kind"] == UNKNOWN]
    rows = [{**row, "kind": _kind(row)} for row in rows if row["kind"] != UNKNOWN]
    if not rows:
        return why
    parts = [_crossing(row, labels[row["b"]], sweep) for row in rows if row["kind"] not in WITHOUT_CROSSING]
    for kind, text in WITHOUT_CROSSING.items():
        names = [_reached(row, labels[row["b"]], sweep, widest) for row in rows if row["kind"] == kind]
        if names:
            parts.append(text.format(listed(some(names, 4))))
    compared = "faster " if parts[0].startswith("than ") else ""
    text = f"{labels[rows[0]['a']]} is {compared}{'; '.join(some(parts, MOST_NAMES + 1))}"
    return text + (f"; beside {listed(some(untold, 4))} it {why}" if untold else "")


def _kind(row: Mapping[str, Any]) -> str:
    """Its kind; `always` is less where sizes were left out."""
    return ALWAYS_KNOWN if row["kind"] == "always" and row["disturbed"] else str(row["kind"])


def _reached(row: Mapping[str, Any], label: str, sweep: Sweep, widest: float) -> str:
    """Its label, with the largest size that both have where another curve goes further."""
    return label if sweep.size(row["largest"]) == sweep.size(widest) else f"{label} up to {sweep.text(row['largest'])}"


def _crossing(row: Mapping[str, Any], label: str, sweep: Sweep) -> str:
    low, high = (None if pd.isna(row[end]) else sweep.size(row[end]) for end in ("low", "high"))
    interval = f"{low} to {high}" if low and high else f"{low} or more" if low else f"{high or 'any'} or less"
    beyond = ", by the fitted law" if row["kind"] == "extrapolated" else ""
    return f"than {label} from {sweep.text(row['crossing'])} ({interval}) on{beyond}"


def _exponents(laws: pd.DataFrame, labels: Mapping[str, str], sweep: Sweep, why: str) -> str:
    """The exponents of the laws; `why` nothing can be told, where that is so of all."""
    found, untold = [], []
    for row in laws.to_dict("records"):
        name = curve_name({str(column): value for column, value in row.items()})
        if name in labels and not pd.isna(row["exponent"]):
            found.append((float(row["exponent"]), float(row["largest"]), labels[name]))
        elif name in labels and row["disturbed"]:
            untold.append(labels[name])
    if not found:
        return why if untold else ""
    found.sort()
    largest = {extent for _, extent, _ in found}
    where = f" at {sweep.text(largest.pop())}" if len(largest) == 1 else ""
    shown = [f"{label} {exponent:.2f}" for exponent, _, label in found]
    if len(shown) > MOST_NAMES + 1:
        shown = [*shown[: MOST_NAMES - 1], "\N{HORIZONTAL ELLIPSIS}", shown[-1]]
    text = f"Exponent of time over tokens{where}: {', '.join(shown)}"
    return text + (f"; of {listed(some(untold, 4))} it {why}" if untold else "")
