"""Base against head, case by case: a ratio, its interval and a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vigbench.analysis.disturbance import CONTENDED, is_contended, left_out
from vigbench.analysis.sides import METRICS, SETTINGS, Measurement, Side, open_side, require_comparable
from vigbench.nearest import did_you_mean, one_of
from vigbench.records.column import QuantityKind
from vigbench.records.metrics import COLUMNS, SOURCES
from vigbench.records.schema import FAULTS
from vigbench.stats.hierarchical import UNSEEN_SPREAD, Estimate, estimate
from vigbench.stats.verdict import DEFAULT_MARGIN, Verdict, holm, judge, p_of_difference

FALLEN = "fallen"
DISTURBED = {
    CONTENDED: "other processes disturbed it",
    "throttled": "the GPU was slowed down for power or heat",
    FALLEN: "its curve falls where it must rise",
}
UNLIKE = {  # a setting of the worker's process -> why rows that differ in it are not compared
    "waiting": "threads waited by {} in base and by {} in head: the load was another",
    "allocation": "memory was allocated by {} in base and by {} in head: set the same for both",
}
RESULT = (
    "unit", "base_status", "head_status", "metric", "base", "head", "ratio", "ratio_low", "ratio_high", "p_adjusted",
    "verdict"
)  # fmt: skip


def compare(
    base: Any, head: Any, *, metric: str = "latency_ms", margin: float = DEFAULT_MARGIN, across: Sequence[str] = ()
) -> pd.DataFrame:
    """Compare two measurements of the same cases, made on the same machine with the same software.

    Args:
        base, head: each a run's folder, a glob, several of those (their processes count together), a `vigbench.Run`,
            or a frame of `load_results` (which knows no raw samples, so that its recorded intervals have to do).
        metric: latency_ms, throughput_per_s or kernel_ms.
        margin: smallest difference that matters, as a share.
        across: fields of the fingerprint that may differ, because they are what is compared.

    Returns:
        One row for each case on either side: its settings; `unit`: what one item is; `base_status`, `head_status`;
        `metric`: its name, and `base`, `head`: its values; `ratio`: time of head / time of base, above 1 if head takes
        longer, with its 95% interval `ratio_low`, `ratio_high`; `p_adjusted`: of a difference beyond the margin, after
        Holm; `verdict`: FASTER, SLOWER, SAME or INCONCLUSIVE; `regression`: slower, no longer ok, or in error, crashed
        or wrong in head; `note`.

    Raises:
        ValueError: if nothing can be read, fingerprints differ, no case is in both, or the metric or margin is not
            allowed.
    """
    if metric not in METRICS:
        raise ValueError(f"There is no metric {metric!r} to compare{did_you_mean(metric, METRICS)} "
                         f"Choose {one_of(METRICS)}.")  # fmt: skip
    if not 0 < margin < 1:
        raise ValueError(f"A margin of {margin} makes no sense: give a share such as 0.03.")
    base_side, head_side = open_side(base), open_side(head)
    if isinstance(base, pd.DataFrame) != isinstance(head, pd.DataFrame):
        base_side, head_side = (side.as_known_to_a_frame() for side in (base_side, head_side))
    require_comparable(base_side.name, base_side.fingerprint, head_side.name, head_side.fingerprint, across)
    if base_side.cases.keys().isdisjoint(head_side.cases):
        raise ValueError(
            f"{base_side.name} and {head_side.name} have no case in common; compare runs of the same suite."
        )
    fallen = _fallen(base_side, metric) | _fallen(head_side, metric)
    rows: list[tuple[dict[str, Any], Estimate | None]] = []
    for key in dict.fromkeys([*base_side.cases, *head_side.cases]):
        row = empty_row(dict(zip(SETTINGS, key, strict=True)), metric)
        marks = {FALLEN} if key in fallen else set()
        rows.append((row, _fill(row, base_side.cases.get(key), head_side.cases.get(key), metric, marks)))
    return judged_frame(rows, margin)


def empty_row(settings: Mapping[str, Any], metric: str = "latency_ms") -> dict[str, Any]:
    """A row of the frame before anything is known about its case."""
    unknown = {"metric": metric, "verdict": Verdict.INCONCLUSIVE, "regression": False, "note": ""}
    return {**settings, **dict.fromkeys(RESULT), **unknown}


def judged_frame(rows: Sequence[tuple[dict[str, Any], Estimate | None]], margin: float) -> pd.DataFrame:
    """The frame of `compare` from rows and, where there is one, the logarithm of each ratio; Holm over those."""
    judged = [(row, log_ratio) for row, log_ratio in rows if log_ratio is not None]
    adjusted = holm([p_of_difference(log_ratio, margin) for _, log_ratio in judged])
    for (row, log_ratio), p_adjusted in zip(judged, adjusted, strict=True):
        low, high = log_ratio.interval()
        row |= {"ratio": math.exp(log_ratio.value), "ratio_low": math.exp(low), "ratio_high": math.exp(high)}
        row["p_adjusted"] = p_adjusted
        row["verdict"] = Verdict.INCONCLUSIVE if _is_disturbed(row) else judge(log_ratio, p_adjusted, margin)
    return _frame([row for row, _ in rows])


def _fallen(side: Side, metric: str) -> set[tuple[Any, ...]]:
    """The cases of a side whose time falls where it must rise with the size."""
    rows = [measured.row for measured in side.cases.values()]
    found = zip(side.cases, rows, left_out(rows), strict=True)
    return {key for key, row, unsound in found if metric in unsound and not is_contended(row)}


def _fill(
    row: dict[str, Any], base: Measurement | None, head: Measurement | None, metric: str, marks: set[str]
) -> Estimate | None:
    """Put statuses, values and a note into the row; returns the logarithm of head / base where there is one.

    `marks`: what is known of the case beside the marks of its records.
    """
    for name, side in (("base", base), ("head", head)):
        if side is not None:
            row[f"{name}_status"] = str(side.row["status"])
            row[name] = side.value(metric)
            row["unit"] = side.row.get("unit")
    if base is None or head is None:
        row["note"] = f"only in {'head' if base is None else 'base'}"
        row["regression"] = head is not None and head.row["status"] in FAULTS
        return None
    if not (base.ok and head.ok):
        row["regression"] = base.ok or head.row["status"] in FAULTS
        row["note"] = f"{row['base_status']} in base, {row['head_status']} in head"
        return None
    kinds = (base.kernel_time_source, head.kernel_time_source)
    if metric in SOURCES and None not in kinds and kinds[0] != kinds[1]:
        row["note"] = f"{metric} is by {kinds[0]} in base and by {kinds[1]} in head: two kinds of time"
        return None
    for column, text in UNLIKE.items():
        said = base.said(column), head.said(column)
        if all(said) and said[0] != said[1]:
            row["note"] = text.format(*said)
            return None
    quantity = next((name for name in METRICS[metric] if name in base.samples and name in head.samples), None)
    calibrated = quantity == "latency_ms" and base.calibrated and head.calibrated
    sides = [_estimate(side, quantity, calibrated, metric) for side in (base, head)]
    if sides[0] is None or sides[1] is None:
        row["note"] = f"{metric} was not measured"
        return None
    notes = ["calibrated"] if calibrated else []
    if quantity is None:
        notes.append("no raw samples")
    if not calibrated:
        notes += [text for mark, text in DISTURBED.items() if mark in base.marks | head.marks | marks]
    row["note"] = "; ".join(notes)
    return sides[1] - sides[0]


def _estimate(side: Measurement, quantity: str | None, calibrated: bool, metric: str) -> Estimate | None:
    unseen = UNSEEN_SPREAD[str(side.row["device"])]
    if quantity is not None:
        groups = [group for group in side.samples[quantity] if group]
        logs = [[math.log(sample) for sample in group] for group in groups]
        if calibrated:
            fixed = [group for group in side.samples["calibration_ms"] if group]
            logs = [[a - math.log(b) for a, b in zip(*pair, strict=True)] for pair in zip(logs, fixed, strict=True)]
        return estimate(logs, unseen)
    column = COLUMNS[metric]
    assert column.interval is not None
    value, low, high = (side.row.get(name) for name in (metric, *column.interval))
    if value is None or pd.isna(value):
        return None
    sign = -1 if column.kind is QuantityKind.rate else 1  # time is what is compared
    within = (math.log(high) - math.log(low)) / 2 / 1.96 if low and high and not pd.isna(low) else 0.0
    return Estimate(sign * math.log(value), math.hypot(within, unseen), math.inf)


def _is_disturbed(row: dict[str, Any]) -> bool:
    return any(text in row["note"] for text in DISTURBED.values())


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=[*SETTINGS, *RESULT, "regression", "note"])
    for name in ("base", "head", "ratio", "ratio_low", "ratio_high", "p_adjusted"):
        frame[name] = pd.to_numeric(frame[name])
    frame["verdict"] = frame["verdict"].map(str)
    frame["regression"] = frame["regression"].astype(bool) | (frame["verdict"] == Verdict.SLOWER)
    return frame
