"""The pictures of a page, drawn: files for papers, and the same inlined, whose heading is text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from vigbench.report.curves import Panel, most_panels, readable
from vigbench.report.figures.bars import draw_stacks
from vigbench.report.figures.panels import draw
from vigbench.report.figures.sheet import Heading
from vigbench.report.figures.svg import ENDINGS, inline, save
from vigbench.report.metrics import PLOTTED, Metric
from vigbench.report.sentences import summary
from vigbench.report.sentences.infos import Info, source
from vigbench.report.sentences.titles import metric_title
from vigbench.report.stacks import STACKS, Stack, StackPanel, stack_alternative, stack_title
from vigbench.report.style import look

WIDE, NARROW, PAPER = 760.0, 300.0, 620.0  # points; the page shows one of the first two


@dataclass(frozen=True)
class Picture:
    """A picture on the page; `svg` holds it inlined in both widths, `alternative` the same in words."""

    name: str
    heading: Heading
    alternative: str
    svg: Markup


def draw_all(
    found: Mapping[str, Sequence[Panel]],
    stacks: Mapping[str, Sequence[StackPanel]],
    infos: Sequence[Info],
    folder: Path,
) -> list[Picture]:
    """Every picture that has something to show; files of those that have nothing are removed.

    Args:
        found, stacks: panels by the name of their metric or stack.
        infos: `run.json` of each run.
        folder: for the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [_figure(metric, found[metric.column], infos, folder) for metric in PLOTTED if found[metric.column]]
    pictures += [_stacks(stack, stacks[stack.name], infos, folder) for stack in STACKS if stacks[stack.name]]
    for name in {*found, *stacks} - {picture.name for picture in pictures}:
        for ending in ENDINGS:  # a picture of an earlier report would contradict this one
            (folder / f"{name}.{ending}").unlink(missing_ok=True)
    return pictures


def _figure(metric: Metric, every: Sequence[Panel], infos: Sequence[Info], folder: Path) -> Picture:
    shown = readable(every)
    subtitle = f"{summary.settings_text(shown)} · {source(infos)}"
    notes = summary.ceilings(metric, infos) + summary.notes(shown) + _left_out(every, shown)
    heading = Heading(metric_title(metric, every), subtitle, notes)
    alternative = summary.alternative(metric, shown)
    return _drawn(metric.column, heading, alternative, lambda width, head: draw(metric, shown, width, head), folder)


def _stacks(stack: Stack, every: Sequence[StackPanel], infos: Sequence[Info], folder: Path) -> Picture:
    shown = every[: most_panels([len(panel.bars) for panel in every])]
    subtitle = f"{summary.settings_text(shown)} · {source(infos)}"
    heading = Heading(stack_title(stack, every), subtitle, _left_out(every, shown))
    alternative = stack_alternative(stack, shown)
    return _drawn(stack.name, heading, alternative, lambda width, head: draw_stacks(stack, shown, width, head), folder)


def _left_out(every: Sequence[object], shown: Sequence[object]) -> list[str]:
    more = len(every) - len(shown)
    return [f"{more} more settings are above, where you choose one, and in the table."] if more else []


def _drawn(
    name: str, heading: Heading, alternative: str, draw_at: Callable[[float, Heading | None], Figure], folder: Path
) -> Picture:
    with look(text_as_paths=True):
        save(draw_at(PAPER, heading), folder, name)
    with look(text_as_paths=False):
        sizes = {"wide": WIDE, "narrow": NARROW}
        svg = "".join(inline(draw_at(width, None), size, name) for size, width in sizes.items())
    return Picture(name, heading, alternative, Markup(svg))  # noqa: S704 - matplotlib escapes text; a test holds it to that
