"""Crossovers and exponents for the first screen: from which size on the winner wins, and how time grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vigbench.analysis.crossovers import crossovers
from vigbench.analysis.curves import curve_name
from vigbench.analysis.scaling import fit_scaling
from vigbench.analysis.sides import SETTINGS
from vigbench.report.curves import Curve, Panel
from vigbench.report.metrics import Metric
from vigbench.report.rows import Row, Sweep, setting_of
from vigbench.report.sentences.answer import MOST_NAMES, MOST_SETTINGS, AnswerLine, listed
from vigbench.report.sentences.titles import best, common_extent, find_pair

KEYS = ("run", *SETTINGS)
UNEVEN = ("always", "never", "level")


def scaling_lines(frame: pd.DataFrame, rows: Sequence[Row], speed: Metric, panels: Sequence[Panel]) -> list[AnswerLine]:
    """Where the winner overtakes each other curve, and the exponents; for the settings that the first screen names.

    Args:
        frame: of `load_results`.
        rows: the same, in the same order.
        speed: latency_ms or kernel_ms.
        panels: its panels.
    """
    crossing, growing = [], []
    for panel in panels[:MOST_SETTINGS]:
        if len(panel.extents) < 2:
            continue
        own = frame.iloc[[index for index, row in enumerate(rows) if setting_of(row) == panel.setting]]
        own = own.drop_duplicates([name for name in KEYS if name in own], keep="last")
        labels = {curve_name(vars(curve)): curve.label for curve in panel.curves if curve.points}
        front, sweep = f"{panel.brief}: " if len(panels) > 1 else "", panel.setting.sweep
        winner = curve_name(vars(_winner(speed, panel)))
        if text := _crossings(crossovers(own, speed.column, a=winner), labels, sweep):
            crossing.append(front + text)
        if text := _exponents(fit_scaling(own, speed.column), labels, sweep):
            growing.append(front + text)
    lines = [AnswerLine("Crossover", tuple(crossing))] if crossing else []
    return [*lines, *([AnswerLine("Growth", tuple(growing))] if growing else [])]


def _winner(speed: Metric, panel: Panel) -> Curve:
    """ViG (GLA) where it is compared with DeiT (attention), else the fastest at the largest common size."""
    pair = find_pair([panel], speed)
    if pair:
        return pair.ours
    extent, curves = common_extent(panel)
    return best(curves, speed, extent)


def _crossings(found: pd.DataFrame, labels: Mapping[str, str], sweep: Sweep) -> str:
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in found.to_dict("records")]
    rows = [row for row in rows if row["b"] in labels and row["smallest"] < row["largest"]]
    if not rows:
        return ""
    parts = [_crossing(row, labels[row["b"]], sweep) for row in rows if row["kind"] not in UNEVEN]
    ends = {"always": "than {} at every size", "never": "never faster than {}", "level": "level with {}"}
    for kind, text in ends.items():
        names = [labels[row["b"]] for row in rows if row["kind"] == kind]
        if names:
            parts.append(text.format(listed(names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"])))
    shown = parts if len(parts) <= MOST_NAMES else [*parts[:MOST_NAMES], f"{len(parts) - MOST_NAMES} more"]
    return f"{labels[rows[0]['a']]} is faster {'; '.join(shown)}"


def _crossing(row: Mapping[str, Any], label: str, sweep: Sweep) -> str:
    low, high = (None if pd.isna(row[end]) else f"{row[end]:.0f}" for end in ("low", "high"))
    interval = f"{low} to {high}" if low and high else f"{low} or more" if low else f"{high or 'any'} or less"
    beyond = ", by the fitted law" if row["kind"] == "extrapolated" else ""
    return f"than {label} from {row['crossing']:.0f} {sweep.unit} ({interval}) on{beyond}"


def _exponents(laws: pd.DataFrame, labels: Mapping[str, str], sweep: Sweep) -> str:
    found = []
    for row in laws.to_dict("records"):
        name = curve_name({str(column): value for column, value in row.items()})
        if name in labels and not pd.isna(row["exponent"]):
            found.append((float(row["exponent"]), int(row["largest"]), labels[name]))
    if not found:
        return ""
    found.sort()
    largest = {extent for _, extent, _ in found}
    where = f" at {sweep.text(largest.pop())}" if len(largest) == 1 else ""
    shown = [f"{label} {exponent:.2f}" for exponent, _, label in found]
    if len(shown) > MOST_NAMES + 1:
        shown = [*shown[: MOST_NAMES - 1], "\N{HORIZONTAL ELLIPSIS}", shown[-1]]
    return f"Exponent of time over tokens{where}: {', '.join(shown)}"
