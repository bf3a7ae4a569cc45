"""The report: what stands on its page, and the files beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from vigbench.analysis.claims.sources import Sources
from vigbench.analysis.table import UNITS
from vigbench.report.curves import panels, with_brief
from vigbench.report.figures.all import draw_all
from vigbench.report.metrics import KERNEL, LATENCY, PLOTTED
from vigbench.report.page.payload import as_json, payload
from vigbench.report.page.published import beside_table
from vigbench.report.page.render import render
from vigbench.report.page.tables import case_table, failures, flatten
from vigbench.report.rows import Row, setting_of, to_rows
from vigbench.report.sentences import summary
from vigbench.report.sentences.answer import AnswerLine, memory_line, speed_line
from vigbench.report.sentences.claims import ClaimRow, claim_line, claim_rows
from vigbench.report.sentences.compared import Versus
from vigbench.report.sentences.infos import Info, as_infos, device_of, run_of, source, states, when
from vigbench.report.sentences.launching import launching_lines
from vigbench.report.sentences.scaling import scaling_lines
from vigbench.report.sentences.threats import threats
from vigbench.report.sentences.titles import Panels, headline
from vigbench.report.sentences.versus import changed_lines, versus_headline, versus_rows
from vigbench.report.stacks import STACKS, stack_panels

STATIC_ROWS = 200  # of the table, without a script; with one it has pages of as many
OPEN_ROWS, MOST_FAILURES = 60, 1000  # a longer table of failures starts closed; how many it has


def write(
    frame: pd.DataFrame,
    run_infos: Info | Sequence[Info],
    out: Path,
    versus: Versus | None = None,
    evidence: Sources | None = None,
) -> Path:
    """See `vigbench.report.write_report`."""
    rows, infos = to_rows(frame), as_infos(run_infos)
    found = {metric.column: panels(rows, metric) for metric in PLOTTED}
    stacks = {stack.name: stack_panels(rows, stack) for stack in STACKS}
    pictures = draw_all(found, stacks, infos, out / "figures")
    claims = claim_rows(frame, evidence) if rows else []
    data = as_json(payload(rows, infos, found, versus.base if versus else ""))
    values = {
        **_head(rows, found, infos, versus),
        "answers": _answers(frame, rows, found, versus, claims),
        "claims": claims,
        "pictures": pictures,
        **_tables(rows, versus),
        **_method(rows, infos),
        "data": Markup(data),  # noqa: S704 - as_json leaves no `<` in it
    }
    path = out / "report.html"
    path.write_text(render(values, interactive=bool(rows)), encoding="utf-8")
    return path


def _head(rows: Sequence[Row], found: Panels, infos: Sequence[Info], versus: Versus | None) -> dict[str, Any]:
    """The first screen, without the answers."""
    own, shown = _of_head(rows, found, versus)
    counts = summary.statuses(own)
    every = [panel for group in found.values() for panel in group]
    marked = sum(bool(row["marks"]) for row in own)
    return {
        "headline": versus_headline(versus) if versus else headline(found, counts),
        "suites": _listed(infos, "suite"),
        "questions": _listed(infos, "question"),
        "notes": _listed(infos, "note"),
        "protocols": _listed(infos, "protocol"),
        "states": states(rows, infos),
        "source": source(infos),
        "settings": summary.settings_text(every),
        "when": when(infos),
        "key_figures": summary.key_figures(shown, counts, marked) if own else [],
    }


def _answers(
    frame: pd.DataFrame, rows: Sequence[Row], found: Panels, versus: Versus | None, claims: Sequence[ClaimRow]
) -> list[AnswerLine]:
    _, shown = _of_head(rows, found, versus)
    speed = next((metric for metric in (KERNEL, LATENCY) if shown[metric.column]), None)
    return [
        *(changed_lines(versus) if versus else []),
        *speed_line(shown),
        *launching_lines(shown),
        *(scaling_lines(frame, rows, speed, shown[speed.column]) if speed else []),
        *memory_line(shown),
        *claim_line(claims),
    ]


def _of_head(rows: Sequence[Row], found: Panels, versus: Versus | None) -> tuple[list[Row], Panels]:
    """Against a base, the answers and key figures are those of head."""
    if versus is None:
        return list(rows), found
    own = [row for row in rows if row["run"] == versus.head]
    settings = {setting_of(row) for row in own}
    shown = {name: [panel for panel in group if panel.setting in settings] for name, group in found.items()}
    return own, {name: with_brief(group) for name, group in shown.items()}


def _tables(rows: Sequence[Row], versus: Versus | None) -> dict[str, Any]:
    return {
        "beside": beside_table(rows),
        "table": case_table(rows, STATIC_ROWS),
        "cases": len(rows),
        "failures": failures(rows),
        "open_rows": OPEN_ROWS,
        "most_failures": MOST_FAILURES,
        "versus": versus,
        "versus_rows": versus_rows(versus) if versus else [],
        "versus_unit": UNITS[str(versus.frame["metric"].iloc[0])] if versus else "",
    }


def _method(rows: Sequence[Row], infos: Sequence[Info]) -> dict[str, Any]:
    return {
        "models": any(not row["shape"] for row in rows) or not rows,
        "operators": any(row["shape"] for row in rows),
        "has_steps": any(row["phase"] == "training_step" for row in rows),
        "threats": threats(rows, infos) if rows else [],
        "runs": [_run(info) for info in infos],
    }


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
        "environment": [*own, *flatten(environment)],
    }


def _listed(infos: Sequence[Info], key: str) -> list[str]:
    """What the runs say under a key, each text once."""
    return list(dict.fromkeys(str(info[key]) for info in infos if info.get(key) is not None))
