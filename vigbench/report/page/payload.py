"""What the page's script works on: every case with its settings, values and the command that repeats it, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vigbench.report.curves import Panel
from vigbench.report.metrics import METRICS, OPERATOR_METRICS, PLOTTED, TABLE_METRICS, Metric
from vigbench.report.names import SIZES, labels, size_of
from vigbench.report.page.repeat import run_options, setting_options, subject_options
from vigbench.report.page.tables import layout, marks_text, setting_cell, whole_name
from vigbench.report.rows import Row, Setting, by_setting, setting_of
from vigbench.report.sentences.infos import Info, source
from vigbench.report.sentences.summary import ceilings
from vigbench.report.sentences.titles import Panels, metric_title
from vigbench.report.style import DASHES, FAMILY_ORDER, MARKERS

FAMILIES = {"vig": "ViG", "deit": "DeiT", "vim": "Vim", "linear": "Other linear", "windowed": "Windowed",
            "cnn": "Convolutional", "other": "Other"}  # fmt: skip
OF_OPERATORS = {"vig": "GLA", "deit": "Attention"}
DIGITS = 6  # significant ones of a value on the page; records.csv has all


def payload(rows: Sequence[Row], infos: Sequence[Info], found: Panels, base_run: str = "") -> dict[str, Any]:
    """Names, settings and metrics once, and one list a case that refers to them by number.

    A case is [name, setting, size, status, marks, one value a metric, ...], a value with an interval
    [value, low, high]. `found` are the panels of each metric, whose findings are the titles: that of all settings, then
    one for each. `base_run` is the run that others are compared with, drawn behind them.
    """
    by_run = {str(info.get("run")): info for info in infos}
    settings = list(by_setting(list(rows)))
    columns = layout(rows)
    metrics = [m for m in TABLE_METRICS if m in columns.metrics or any(row[m.column] is not None for row in rows)]
    texts, statuses, marks = labels(rows), _Numbered(), _Numbered()
    families = {(row["subject"], row["implementation"]): row["family"] for row in rows}
    keys = sorted(texts, key=lambda key: _order(families[key], key))
    number_of = {key: index for index, key in enumerate(keys)}
    place = {setting: index for index, setting in enumerate(settings)}
    first: dict[Setting, Row] = {}
    cases = []
    for row in rows:
        setting = setting_of(row)
        first.setdefault(setting, row)
        cases.append(
            [
                number_of[row["subject"], row["implementation"]],
                place[setting],
                row["extent"],
                statuses(row["status"]),
                marks(marks_text(row)),
                *(_value(row, metric) for metric in metrics),
            ]
        )
    base_of = {replace(one, run=""): place[one] for one in settings if base_run and first[one]["run"] == base_run}
    return {
        "names": [_name(key, families[key], texts[key]) for key in keys],
        "settings": [_setting(one, first[one], by_run, columns.settings, base_of, base_run) for one in settings],
        "metrics": [_metric(metric, metric in columns.metrics) for metric in metrics],
        "families": FAMILIES | (OF_OPERATORS if all(one.shape for one in settings) else {}),
        "statuses": statuses.found(),
        "marks": marks.found(),
        "titles": {name: _titles(name, panels, place) for name, panels in found.items() if panels},
        "source": source(infos),
        "notes": {metric.column: notes for metric in PLOTTED if (notes := ceilings(metric, infos))},
        "sizes": columns.sizes,
        "marked": columns.marked,
        "cases": cases,
    }


def as_json(data: Mapping[str, Any]) -> str:
    """JSON for a script element: no `<`, so that no name can end the element or open a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


class _Numbered:
    """Numbers texts in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def found(self) -> list[str]:
        return list(self._numbers)


def _order(family: str, key: tuple[str, str]) -> tuple[int, int, str, str]:
    """By family, small models first."""
    sizes, size = list(SIZES), size_of(key[0])
    place = FAMILY_ORDER.index(family) if family in FAMILY_ORDER else len(FAMILY_ORDER)
    return (place, sizes.index(size) if size else len(sizes), *key)


def _name(key: tuple[str, str], family: str, label: str) -> dict[str, Any]:
    subject, implementation = key
    row = {"subject": subject, "implementation": implementation}
    return {
        "label": label,
        "whole": whole_name(row),
        "family": family if family in FAMILY_ORDER else "other",
        "dash": DASHES.get(implementation),
        "marker": MARKERS[size_of(subject)],
        "command": subject_options(row),
    }


def _setting(
    setting: Setting,
    row: Row,
    by_run: Mapping[str, Info],
    names: Sequence[str],
    base_of: Mapping[Setting, int],
    base_run: str,
) -> dict[str, Any]:
    info = by_run.get(row["run"]) or (next(iter(by_run.values())) if len(by_run) == 1 else {})
    return {
        "text": setting.text(),
        "operator": bool(setting.shape),
        "behind": base_of.get(replace(setting, run="")) if row["run"] != base_run else None,
        "cells": [text if value is None else int(value) for text, value, _ in (setting_cell(row, n) for n in names)],
        "command": f"{setting_options(row)} {run_options(info)}".rstrip(),
    }


def _titles(name: str, panels: Sequence[Panel], place: Mapping[Setting, int]) -> list[str]:
    """The finding of all settings, then of each by its number; empty where it has none of its own."""
    metric = next(one for one in PLOTTED if one.column == name)
    titles = [metric_title(metric, panels), *([""] * len(place))]
    for panel in panels:
        titles[place[panel.setting] + 1] = metric_title(metric, [panel])
    return titles


def _metric(metric: Metric, in_table: bool) -> dict[str, Any]:
    return {
        "id": metric.column,
        "name": metric.name,
        "unit": metric.unit,
        "higher": metric.higher_is_better,
        "counted": metric.counted,
        "models": metric in METRICS and metric in PLOTTED,
        "operators": metric in OPERATOR_METRICS,
        "table": in_table,
    }


def _value(row: Row, metric: Metric) -> float | list[float] | None:
    value = row[metric.column]
    if value is None:
        return None
    low, high = (row[name] if name else None for name in (metric.low, metric.high))
    return [_short(value), _short(low), _short(high)] if low is not None and high is not None else _short(value)


def _short(value: float) -> float:
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded
