"""What the page's script works on: every case with its settings, values and the command that repeats it, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vigbench.analysis.disturbance import LEFT_OUT
from vigbench.ops.registry import list_operators
from vigbench.report.curves import interval_of
from vigbench.report.findings import Findings
from vigbench.report.metrics import METRICS, OPERATOR_METRICS, PLOTTED, TABLE_METRICS, Metric
from vigbench.report.names import Info, size_of, size_rank
from vigbench.report.page.cells import marks_text, setting_cell
from vigbench.report.page.repeat import run_options, setting_options, size_option, subject_options
from vigbench.report.page.tables import TableLayout
from vigbench.report.rows import Row
from vigbench.report.sentences.words import Words
from vigbench.report.style import FAMILY_ORDER, MARKERS, dashes, family_rank

FAMILIES = {"vig": "ViG", "deit": "DeiT", "vim": "Vim", "linear": "Other linear", "windowed": "Windowed",
            "cnn": "Convolutional", "other": "Other"}  # fmt: skip
# by the unit of a page's items: what its subjects of a family are called
OF_UNIT = {
    "latent": {"vig": "DiG", "deit": "DiT"},
    "sequence": {operator.subjects[0].family: operator.title for operator in list_operators() if operator.subjects},
}
ITEM = "{item}"  # the script fills in what it is in a setting
DIGITS = 6  # significant ones of a value on the page; records.csv has all


def payload(findings: Findings, words: Words, columns: TableLayout) -> dict[str, Any]:
    """Names, settings and metrics once, and one list a case that refers to them by number.

    A case is [name, setting, size, status, marks, one value a metric, ...], a value with an interval
    [value, low, high]. A metric has the numbers of the cases whose value carries no conclusion; its titles are the
    finding of all settings, then of each. Settings of the base of a comparison are drawn behind those of the head.
    """
    rows, groups, infos = findings.cases.rows, findings.cases.groups, findings.infos
    metrics = [m for m in TABLE_METRICS if m in columns.metrics or any(row[m.column] is not None for row in rows)]
    statuses, marks = _Numbered(), _Numbered()
    names = sorted({(row["subject"], row["implementation"]): row for row in reversed(rows)}.values(), key=_order)
    number_of = {(row["subject"], row["implementation"]): index for index, row in enumerate(names)}
    place = {setting: index for index, setting in enumerate(groups)}
    base_run = findings.versus.base if findings.versus else None
    base_of = {
        replace(setting, run=""): place[setting] for setting, group in groups.items() if group[0]["run"] == base_run
    }
    by_run = {str(info.get("run")): info for info in infos}
    alone: Info = infos[0] if len(infos) == 1 else {}
    return {
        "names": [_name(row) for row in names],
        "settings": [
            _setting(group[0], by_run.get(group[0]["run"], alone), columns.settings)
            | {"behind": base_of.get(replace(setting, run="")) if group[0]["run"] != base_run else None}
            for setting, group in groups.items()
        ],
        "metrics": [_metric(metric, metric in columns.metrics) | _left_out(metric, rows) for metric in metrics],
        "families": _families({setting.unit for setting in groups}),
        "titles": {
            name: [words.captions[name].title, *(of_setting.get(setting, "") for setting in groups)]
            for name, of_setting in words.setting_titles.items()
            if of_setting
        },
        "source": words.runs.source,
        "notes": {name: notes for name, notes in words.runs.ceilings.items() if notes},
        "sizes": columns.sizes,
        "item": columns.item,
        "marked": columns.marked,
        "cases": [
            [
                number_of[row["subject"], row["implementation"]],
                place[row["setting"]],
                row["extent"],
                statuses(row["status"]),
                marks(marks_text(row)),
                *(_value(row, metric) for metric in metrics),
            ]
            for row in rows
        ],
        "statuses": list(statuses.found),
        "marks": list(marks.found),
    }


def as_json(data: Mapping[str, Any]) -> str:
    """JSON for a script element: no `<`, so that no name can end the element or open a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


class _Numbered:
    """Numbers texts in the order in which they come."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.found.setdefault(text, len(self.found))


def _families(units: set[str]) -> dict[str, str]:
    """Titles of families on a page of items of these units."""
    alone = next(iter(units)) if len(units) == 1 else ""
    return FAMILIES | OF_UNIT.get(alone, {})


def _order(row: Row) -> tuple[int, int, str, str]:
    """By family, small models first."""
    return (family_rank(row["family"]), size_rank(row["subject"]), row["subject"], row["implementation"])


def _name(row: Row) -> dict[str, Any]:
    return {
        "label": row["label"],
        "whole": row["whole"],
        "family": row["family"] if row["family"] in FAMILY_ORDER else "other",
        "dash": dashes(row["implementation"]),
        "marker": MARKERS[size_of(row["subject"])],
        "command": subject_options(row),
    }


def _setting(row: Row, info: Info, names: Sequence[str]) -> dict[str, Any]:
    setting = row["setting"]
    return {
        "text": setting.text(),
        "operator": bool(setting.shape),
        "item": setting.unit,
        "aspect": setting.aspect,
        "cells": [text if value is None else int(value) for text, value, _ in (setting_cell(row, n) for n in names)],
        "size_option": size_option(setting),
        "command": f"{setting_options(row)} {run_options(info)}".rstrip(),
    }


def _metric(metric: Metric, in_table: bool) -> dict[str, Any]:
    return {
        "id": metric.column,
        "name": metric.of(ITEM).name,
        "unit": metric.of(ITEM).unit,
        "higher": metric.higher_is_better,
        "counted": metric.counted,
        "models": metric in METRICS and metric in PLOTTED,
        "operators": metric in OPERATOR_METRICS,
        "table": in_table,
    }


def _left_out(metric: Metric, rows: Sequence[Row]) -> dict[str, list[int]]:
    found = [
        place for place, row in enumerate(rows) if metric.column in row[LEFT_OUT] and row[metric.column] is not None
    ]
    return {"left_out": found} if found else {}


def _value(row: Row, metric: Metric) -> float | list[float] | None:
    value, interval = row[metric.column], interval_of(row, metric)
    if value is None:
        return None
    return [_short(value), *map(_short, interval)] if interval else _short(value)


def _short(value: float) -> float:
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded
