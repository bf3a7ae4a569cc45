"""What stands on the page."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vigbench.analysis.table import value_unit
from vigbench.records.files import ESCAPED
from vigbench.report.figures.all import Picture
from vigbench.report.findings import Findings
from vigbench.report.names import Info, device_of, run_of
from vigbench.report.page.payload import as_json, payload
from vigbench.report.page.published import published_table
from vigbench.report.page.render import render
from vigbench.report.page.tables import case_tables
from vigbench.report.sentences.words import Words

STATIC_ROWS = 200  # of the table, without a script; with one it has pages of as many
OPEN_ROWS, MOST_FAILURES = 60, 1000  # a longer table of failures starts closed; how many it has


def write_page(findings: Findings, words: Words, pictures: Sequence[Picture], out: Path) -> Path:
    """Write `out/report.html`; returns its path."""
    rows, infos, versus = findings.cases.rows, findings.infos, findings.versus
    settings = findings.cases.groups
    tables = case_tables(rows, STATIC_ROWS)
    values = {
        "words": words,
        "pictures": pictures,
        "tables": tables,
        "cases": len(rows),
        "open_rows": OPEN_ROWS,
        "most_failures": MOST_FAILURES,
        "published": published_table(rows),
        "versus": versus,
        "versus_unit": value_unit(*versus.frame[["metric", "unit"]].iloc[0]) if versus else "",
        "models": any(not setting.shape for setting in settings) or not settings,
        "operators": any(setting.shape for setting in settings),
        "has_steps": any(setting.value("phase") == "training_step" for setting in settings),
        "data": Markup(as_json(payload(findings, words, tables.layout))),  # noqa: S704 - as_json leaves no `<` in it
        **{f"{key}s": _listed(infos, key) for key in ("suite", "question", "note", "protocol")},
        "runs": [_run(info) for info in infos],
    }
    path = out / "report.html"
    path.write_text(render(values, interactive=bool(rows)), encoding="utf-8", errors=ESCAPED)
    return path


def _listed(infos: Iterable[Info], key: str) -> list[str]:
    """What the runs say under a key, each text once."""
    return list(dict.fromkeys(str(info[key]) for info in infos if info.get(key) is not None))


def _run(info: Info) -> dict[str, Any]:
    """One run's environment, and what was typed."""
    own = [
        ("run", run_of(info)),
        ("suite", info.get("suite")),
        ("protocol", info.get("protocol")),
        ("started", info.get("started_at")),
        ("finished", info.get("finished_at") or "not finished"),
        ("device", device_of(info)),
    ]
    command = info.get("command_line") or []
    environment = info.get("environment") or {}
    assert isinstance(environment, Mapping)
    return {
        "name": run_of(info),
        "command": shlex.join(str(part) for part in command),
        "environment": [*own, *_flatten(environment)],
    }


def _flatten(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """A nested environment as (dotted name, text)."""
    if isinstance(value, Mapping):
        return [
            pair for key, inner in value.items() for pair in _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list | tuple):
        return [(prefix, ", ".join(_plain(item) for item in value))]
    return [(prefix, _plain(value))]


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
