"""The records go through the report in one direction: no module of it is left and entered again with them.

What is followed are the records as a whole: the frame, the cases read from it, the list of all rows, and the findings,
which hold these. A module takes part in the walk when one of its functions is called with one of them as an argument;
calls inside a module are one stay, and so is a series of calls that no other module interrupts. Groups of rows, single
rows and what is worked out of them (panels, words) are not followed: that they are handed on is what the walk is for.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import pytest

import vigbench.report.figures.all as figures
from vigbench.report import write_page
from vigbench.report.findings import Findings
from vigbench.report.page import content
from vigbench.report.page.published import published_table
from vigbench.report.rows import Cases, read_cases

PACKAGE = "vigbench.report"


class Walk:
    """The modules of the report whose functions are called with the records, in the order of the calls."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.modules: list[str] = []

    def is_whole(self, value: object) -> bool:
        """Whether an argument is the records as a whole."""
        if isinstance(value, list | tuple):
            return len(value) == len(self.frame) and isinstance(value[0], dict) and "case_id" in value[0]
        return value is self.frame or isinstance(value, Cases | Findings)

    def __call__(self, called: FrameType, event: str, _: object) -> None:
        """What `sys.setprofile` calls."""
        module = str(called.f_globals.get("__name__"))
        if event != "call" or not f"{module}.".startswith(f"{PACKAGE}."):
            return
        code = called.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if code.co_name != "__init__" and any(self.is_whole(called.f_locals.get(name)) for name in names):
            self.modules.append(module.removeprefix(PACKAGE).removeprefix("."))

    def stays(self) -> list[str]:
        """The modules, calls in a row as one."""
        return [module for module, _ in groupby(self.modules)]


@pytest.fixture
def frame(make_sweep: Any, make_frame: Any, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Two settings; pictures stay empty, since drawing them would take most of the time and gets panels alone."""
    monkeypatch.setattr(figures, "compose", lambda *_: None)
    monkeypatch.setattr(figures, "save", lambda *_: None)
    monkeypatch.setattr(figures, "inline", lambda *_: "<svg></svg>")
    records = [*make_sweep((224, 384)), *make_sweep((224, 384), precision="bfloat16")]
    found: pd.DataFrame = make_frame(one for one in records if one.family in ("vig", "deit"))
    return found


def walk(frame: pd.DataFrame, info: Any, out: Path) -> list[str]:
    """The stays of the records on their way to the page."""
    followed, before = Walk(frame), sys.getprofile()
    sys.setprofile(followed)
    try:
        write_page(frame, info, out)
    finally:
        sys.setprofile(before)
    return followed.stays()


def test_no_module_is_left_and_entered_again_with_the_records(
    frame: pd.DataFrame, run_info: dict[str, Any], tmp_path: Path
) -> None:
    stays = walk(frame, run_info, tmp_path)
    assert sorted(stays) == sorted(set(stays))
    assert stays[:3] == ["", "findings", "rows"], "read at the door"
    floors = [stay.split(".")[0] for stay in stays if "." in stay]
    assert [floor for floor, _ in groupby(floors)] == ["sentences", "figures", "page"], "then floor after floor"


def test_a_page_that_reads_the_records_again_is_seen(
    frame: pd.DataFrame, run_info: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "published_table", lambda _: published_table(read_cases(frame).rows))
    assert walk(frame, run_info, tmp_path).count("rows") == 2
