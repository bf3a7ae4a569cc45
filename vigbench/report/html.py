"""The page and the files beside it."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from vigbench.report import summary
from vigbench.report.bars import draw_stacks
from vigbench.report.beside import beside_table
from vigbench.report.curves import MAX_PANELS, Panel, panels, readable
from vigbench.report.finding import headline, metric_title
from vigbench.report.metrics import PLOTTED, Metric
from vigbench.report.plots import draw
from vigbench.report.rows import Row, to_rows
from vigbench.report.sheet import Heading
from vigbench.report.stacks import STACKS, Stack, StackPanel, stack_alternative, stack_panels, stack_title
from vigbench.report.style import look, theme
from vigbench.report.svg import inline, save
from vigbench.report.tables import case_table, failures, flatten

WIDE, NARROW, PAPER = 760.0, 300.0, 620.0  # points; the page shows one of the first two
RUN_KEYS = ("run", "suite", "question", "note", "protocol", "started_at", "finished_at", "device", "device_name")
OPEN_ROWS = 60  # a longer table starts closed


def write(frame: pd.DataFrame, run_info: Mapping[str, Any], out: Path) -> Path:
    """See `vigbench.report.write_report`."""
    rows = to_rows(frame)
    found = {metric.column: panels(rows, metric) for metric in PLOTTED}
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    stacks = {stack.name: stack_panels(rows, stack) for stack in STACKS}
    figures = [_figure(metric, found[metric.column], run_info, folder) for metric in PLOTTED if found[metric.column]]
    figures += [_stacks(stack, stacks[stack.name], run_info, folder) for stack in STACKS if stacks[stack.name]]
    _remove_stale(folder, [name for name, panels in {**found, **stacks}.items() if not panels])
    path = out / "report.html"
    path.write_text(_page(rows, found, figures, run_info), encoding="utf-8")
    return path


def _figure(metric: Metric, every: Sequence[Panel], run_info: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    shown = readable(every)
    subtitle = f"{summary.settings_text(shown)} · {summary.source(run_info)}"
    notes = summary.ceilings(metric, run_info) + summary.notes(shown) + _left_out(every, shown)
    heading = Heading(metric_title(metric, every), subtitle, notes)
    alternative = summary.alternative(metric, shown)
    return _drawn(metric.column, heading, alternative, lambda width, head: draw(metric, shown, width, head), folder)


def _stacks(stack: Stack, every: Sequence[StackPanel], run_info: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    shown = every[:MAX_PANELS]
    subtitle = f"{summary.settings_text(shown)} · {summary.source(run_info)}"
    heading = Heading(stack_title(stack, every), subtitle, _left_out(every, shown))
    alternative = stack_alternative(stack, shown)
    return _drawn(stack.name, heading, alternative, lambda width, head: draw_stacks(stack, shown, width, head), folder)


def _left_out(every: Sequence[object], shown: Sequence[object]) -> list[str]:
    more = len(every) - len(shown)
    return [f"{more} more settings are in the table only."] if more else []


def _drawn(
    name: str, heading: Heading, alternative: str, draw_at: Callable[[float, Heading | None], Figure], folder: Path
) -> dict[str, Any]:
    """Files for papers, with the heading inside; the same picture for the page, whose heading is text."""
    with look(text_as_paths=True):
        save(draw_at(PAPER, heading), folder, name)
    with look(text_as_paths=False):
        sizes = {"wide": WIDE, "narrow": NARROW}
        svg = "".join(inline(draw_at(width, None), size, name) for size, width in sizes.items())
    return {
        "id": name,
        "title": heading.title,
        "subtitle": heading.subtitle,
        "notes": heading.notes,
        "alt": alternative,
        "svg": Markup(svg),  # noqa: S704 - matplotlib escapes text, and a test holds it to that
    }


def _remove_stale(folder: Path, names: Sequence[str]) -> None:
    """A picture of an earlier report would contradict this one."""
    for name in names:
        for ending in ("png", "svg"):
            (folder / f"{name}.{ending}").unlink(missing_ok=True)


def _page(
    rows: list[Row], found: Mapping[str, Sequence[Panel]], figures: list[dict[str, Any]], run_info: Mapping[str, Any]
) -> str:
    counts = summary.statuses(rows)
    every = [panel for group in found.values() for panel in group]
    environment = Environment(
        loader=PackageLoader("vigbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["joined"] = _joined
    script = _asset("sort.js")
    command = run_info.get("command_line") or []
    return environment.get_template("report.html.j2").render(
        headline=headline(found, counts),
        run={key: run_info.get(key) for key in RUN_KEYS},
        state=summary.state(rows, run_info),
        source=summary.source(run_info),
        settings=summary.settings_text(every),
        when=summary.when(run_info),
        key_figures=summary.key_figures(found, counts, sum(bool(row["marks"]) for row in rows)) if rows else [],
        figures=figures,
        beside=beside_table(rows),
        table=case_table(rows),
        table_open=len(rows) <= OPEN_ROWS,
        failures=failures(rows),
        models=any(not row["shape"] for row in rows) or not rows,
        operators=any(row["shape"] for row in rows),
        has_steps=any(row["phase"] == "training_step" for row in rows),
        environment=flatten(run_info.get("environment") or {}),
        command=shlex.join(str(part) for part in command),
        css=Markup(_theme_css() + _asset("report.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _joined(text: str) -> Markup:
    """Names such as `DeiT-T (sdpa)` stay on one line; splitting keeps them at the odd places."""
    parts = re.split(r"(\S{1,12}-\S{1,4}(?: \(\w{1,16}\))?)", text)
    wrapped = (
        Markup('<span class="joined">{}</span>').format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )
    return Markup("").join(wrapped)


def _asset(name: str) -> str:
    return files("vigbench.report").joinpath("templates", name).read_text(encoding="utf-8")


def _theme_css() -> str:
    """The colours of the pictures as variables, light and dark."""
    light = "".join(f"{name}:{value};" for name, value, _ in theme().values())
    dark = "".join(f"{name}:{value};" for name, _, value in theme().values())
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
