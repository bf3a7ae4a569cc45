"""The pictures of a page, drawn: files for papers, and the same inlined, panel by panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from vigbench.report.figures.curves import curve_cells
from vigbench.report.figures.sheet import Cell, compose, look
from vigbench.report.figures.stacks import stack_cells
from vigbench.report.figures.svg import ENDINGS, inline, save
from vigbench.report.findings import Findings
from vigbench.report.metrics import PLOTTED
from vigbench.report.sentences.captions import Caption
from vigbench.report.stacks import STACKS

PAPER, PANEL = 620.0, 310.0  # points; a page places the panels, two beside each other where there is room


@dataclass(frozen=True)
class Picture:
    """A picture on the page: the title of each panel, empty where there is one only, and its `<svg>`."""

    name: str
    caption: Caption
    panels: Sequence[tuple[str, Markup]]


def draw_all(findings: Findings, captions: Mapping[str, Caption], folder: Path) -> list[Picture]:
    """Every picture that has something to show; files of those that have nothing are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = {metric.column: curve_cells(metric, findings.drawn_panels[metric.column]) for metric in PLOTTED}
    cells |= {stack.name: stack_cells(stack, findings.drawn_stacks[stack.name]) for stack in STACKS}
    for name in cells.keys() - captions.keys():
        for ending in ENDINGS:  # a picture of an earlier report would contradict this one
            (folder / f"{name}.{ending}").unlink(missing_ok=True)
    return [_drawn(name, cells[name], caption, folder) for name, caption in captions.items()]


def _drawn(name: str, cells: Sequence[Cell], caption: Caption, folder: Path) -> Picture:
    with look(text_as_paths=True):
        save(compose(cells, PAPER, caption), folder, name)
    with look(text_as_paths=False):
        svgs = [inline(compose([cell], PANEL), f"{name}-{index}") for index, cell in enumerate(cells)]
    titles = [cell.title for cell in cells] if len(cells) > 1 else [""]
    # matplotlib escapes text; a test holds it to that
    return Picture(name, caption, [(title, Markup(svg)) for title, svg in zip(titles, svgs, strict=True)])  # noqa: S704
