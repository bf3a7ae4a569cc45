"""What the records of a page hold, worked out once; sentences, figures and the page are made from it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from vigbench.report.curves import Panels, all_panels, most_panels, readable, with_brief
from vigbench.report.names import Info
from vigbench.report.rows import Cases, Row, read_cases
from vigbench.report.stacks import Stacks, all_stacks

if TYPE_CHECKING:
    from vigbench.analysis.claims.sources import Sources


@dataclass(frozen=True)
class Versus:
    """What `vigbench.analysis.compare.compare` found for two runs.

    Attributes:
        base, head: the runs' names, as in the frame's column `run`.
        frame: its result.
        margin: smallest difference that matters, as a share.
    """

    base: str
    head: str
    frame: pd.DataFrame
    margin: float


@dataclass(frozen=True)
class Findings:
    """The material of one page.

    Attributes:
        frame: of the cases, for what is fitted to it.
        infos: `run.json` of each run.
        panels, stacks: all that there are; `drawn_*`: those that a picture can hold.
        head, head_panels: cases and panels that the first screen is about: those of the head, where two runs are
            compared, else all.
        versus: the comparison of two runs.
        evidence: duels and evaluations that decide claims.
    """

    frame: pd.DataFrame
    cases: Cases
    infos: Sequence[Info]
    panels: Panels
    drawn_panels: Panels
    stacks: Stacks
    drawn_stacks: Stacks
    head: Sequence[Row]
    head_panels: Panels
    versus: Versus | None = None
    evidence: Sources | None = None


def find(
    frame: pd.DataFrame,
    run_infos: Info | Sequence[Info],
    versus: Versus | None = None,
    evidence: Sources | None = None,
) -> Findings:
    """See `vigbench.report.write_report` for what comes in."""
    cases = read_cases(frame)
    found, stacks = all_panels(cases), all_stacks(cases)
    head, head_panels = cases.rows, found
    if versus:
        head = [row for row in cases.rows if row["run"] == versus.head]
        settings = {row["setting"] for row in head}
        head_panels = {
            name: with_brief([panel for panel in every if panel.setting in settings]) for name, every in found.items()
        }
    return Findings(
        frame=frame,
        cases=cases,
        infos=[run_infos] if isinstance(run_infos, Mapping) else list(run_infos),
        panels=found,
        drawn_panels={name: readable(every) for name, every in found.items()},
        stacks=stacks,
        drawn_stacks={
            name: every[: most_panels([len(panel.bars) for panel in every])] for name, every in stacks.items()
        },
        head=head,
        head_panels=head_panels,
        versus=versus,
        evidence=evidence,
    )
