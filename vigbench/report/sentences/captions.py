"""The words around a picture: its finding, its settings, notes, and the picture itself in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigbench.report.curves import Panel, SubjectCurve
from vigbench.report.findings import Findings
from vigbench.report.metrics import PLOTTED, Metric, number
from vigbench.report.rows import Sweep
from vigbench.report.sentences.rivals import disturbed_share
from vigbench.report.sentences.runs import RunWords
from vigbench.report.sentences.stacks import stack_alternative, stack_title
from vigbench.report.sentences.titles import metric_title
from vigbench.report.stacks import STACKS, StackPanel
from vigbench.report.style import END_MARKS, OTHER_END

MAX_SETTINGS = 4  # more are not named in a subtitle
HOLLOW = "Hollow marks carry no conclusion"


@dataclass(frozen=True)
class Caption:
    """What a picture says beside its numbers; `alternative` tells it to those who do not see it."""

    title: str
    subtitle: str
    notes: Sequence[str] = ()
    alternative: str = ""


def captions(findings: Findings, runs: RunWords) -> dict[str, Caption]:
    """The caption of every picture, by the name of its metric or stack."""
    result = {}
    for metric in PLOTTED:
        if every := findings.panels[metric.column]:
            drawn = findings.drawn_panels[metric.column]
            caption = curve_caption(metric, every, drawn, runs.source)
            notes = [*runs.ceilings[metric.column], *caption.notes, *_left_out(every, drawn)]
            result[metric.column] = replace(caption, notes=notes)
    for stack in STACKS:
        if bars := findings.stacks[stack.name]:
            shown = findings.drawn_stacks[stack.name]
            subtitle = f"{settings_text(shown)} · {runs.source}"
            alternative = stack_alternative(stack, shown)
            result[stack.name] = Caption(stack_title(stack, bars), subtitle, _left_out(bars, shown), alternative)
    return result


def curve_caption(metric: Metric, every: Sequence[Panel], drawn: Sequence[Panel], where: str) -> Caption:
    """The caption of curves; the finding is that of all panels, the rest is about those that are drawn.

    `where` names device and run.
    """
    subtitle = f"{settings_text(drawn)} · {where}".removesuffix(" · ")
    return Caption(metric_title(metric, every), subtitle, _notes(drawn), _alternative(metric, drawn))


def _left_out(every: Sequence[object], shown: Sequence[object]) -> list[str]:
    more = len(every) - len(shown)
    return [f"{more} more settings are above, where you choose one, and in the table."] if more else []


def settings_text(panels: Sequence[Panel | StackPanel]) -> str:
    """The settings of a picture; many are counted, not named."""
    names = list(dict.fromkeys(panel.setting.text() for panel in panels))
    return "; ".join(names) if len(names) <= MAX_SETTINGS else f"{len(names)} settings, each named at its panel"


def _notes(panels: Sequence[Panel]) -> list[str]:
    """Why lines end, in words: one note for each status, with the settings where they differ."""
    found: dict[str, list[str]] = {}
    for panel in panels:
        ends: dict[str, list[str]] = {}
        for curve in panel.curves:
            if curve.end and len(panel.extents) > 1:  # dots carry their status in the picture
                ends.setdefault(curve.end[1], []).append(f"{curve.label} at {panel.setting.sweep.text(curve.end[0])}")
        for status, names in ends.items():
            sign = END_MARKS.get(status, OTHER_END)[1]
            found.setdefault(f"{sign} {status.replace('_', ' ')}: {', '.join(names)}", []).append(panel.brief)
        if panel.hidden:
            found.setdefault(f"{panel.hidden} more curves are in the table only", []).append(panel.brief)
    notes = [text if len(where) == len(panels) else f"{text} ({'; '.join(where)})" for text, where in found.items()]
    disturbed = any(curve.left_out for panel in panels for curve in panel.curves)
    return [*notes, *([f"{HOLLOW}: {disturbed_share(panels)}"] if disturbed else [])]


def _alternative(metric: Metric, panels: Sequence[Panel]) -> str:
    """The picture in one sentence with its numbers."""
    parts = []
    for panel in panels:
        curves = "; ".join(_curve_in_words(curve, panel.setting.sweep) for curve in panel.curves if curve.drawn)
        parts.append(f"{panel.title}: {curves}" if len(panels) > 1 else curves)
    first = panels[0].setting
    shown, over = metric.of(first.unit), first.sweep.name.lower()
    return f"{shown.name} in {shown.unit} over {over}. {'. '.join(parts)}."


def _curve_in_words(curve: SubjectCurve, sweep: Sweep) -> str:
    first, last = curve.drawn[0], curve.drawn[-1]
    text = f"{curve.label} {number(first.value)} at {sweep.text(first.extent)}"
    if last is not first:
        text += f" to {number(last.value)} at {sweep.text(last.extent)}"
    return text + (f", then {curve.end[1].replace('_', ' ')}" if curve.end else "")
