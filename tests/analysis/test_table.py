import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import vigbench
from vigbench.analysis.table import FORMATS, as_csv, as_json, as_markdown, as_table

WriteRun = Callable[..., Path]
HOSTILE = "pkg.a|b<script>alert(1)</script>`x`:*make*_[link](http://x)"


@pytest.fixture
def frame(write_run: WriteRun) -> pd.DataFrame:
    base = write_run("base", {"resnet50": 30.0, "resnet18": 10.0, HOSTILE: 5.0})
    return vigbench.compare(base, write_run("head", {"resnet50": 30.0, "resnet18": 12.0, HOSTILE: 5.0}))


def test_the_table_has_the_regressions_first_and_the_counts_last(frame: pd.DataFrame) -> None:
    lines = as_table(frame, 0.03).splitlines()
    assert lines[1].startswith("resnet18 64px")
    assert "SLOWER" in lines[1]
    assert "12 ms" in lines[1], "a number without its unit says nothing"
    assert lines[-1] == "3 cases, margin 3.0%: 1 SLOWER, 2 SAME."


def test_a_rate_is_shown_as_one_and_judged_as_time(write_run: WriteRun) -> None:
    """50 images a second instead of 100 take twice the time: the ratio is 2 and the verdict SLOWER."""
    base = write_run("base", {"a": 10.0}, metrics={"throughput_per_s": 100.0})
    head = write_run("head", {"a": 20.0}, metrics={"throughput_per_s": 50.0})
    frame = vigbench.compare(base, head, metric="throughput_per_s")
    assert frame["ratio"].item() == pytest.approx(2, rel=0.02)
    heads, row, *_ = as_table(frame, 0.03).splitlines()
    assert "time, head / base" in heads
    assert "100 images/s" in row
    assert "SLOWER" in row
    assert set(frame["unit"]) == {"image"}
    operators = frame.assign(unit="sequence")
    assert "100 sequences/s" in as_table(operators, 0.03)
    assert "100 items/s" in as_table(frame.assign(unit=None), 0.03)


def test_markdown_shows_the_regressions_and_folds_the_rest(frame: pd.DataFrame) -> None:
    text = as_markdown(frame, 0.03)
    shown, folded = text.split("<details>")
    assert "resnet18" in shown
    assert "resnet50" not in shown
    assert "resnet50" in folded


def test_hostile_names_stay_text_in_markdown(frame: pd.DataFrame) -> None:
    text = as_markdown(frame, 0.03)
    assert "<script>" not in text
    row = next(line for line in text.splitlines() if "alert" in line)
    assert row.replace("\\|", "").count("|") == 8, "no cell is split by a name"
    assert "`x`" not in row.replace("\\`", "")


def test_csv_and_json_hold_every_number(frame: pd.DataFrame) -> None:
    again = pd.read_csv(io.StringIO(as_csv(frame, 0.03)))
    assert list(again.columns) == list(frame.columns)
    assert again["ratio"].tolist() == pytest.approx(frame["ratio"].tolist())
    loaded = json.loads(as_json(frame, 0.03))
    assert loaded["margin"] == 0.03
    assert [one["ratio"] for one in loaded["cases"]] == pytest.approx(frame["ratio"].tolist())


@pytest.mark.parametrize("form", FORMATS)
def test_missing_cases_are_written_too(write_run: WriteRun, form: str) -> None:
    frame = vigbench.compare(
        write_run("base", {"a": 1.0, "c": 1.0}, status="crashed"), write_run("head", {"b": 1.0, "c": 1.0})
    )
    text = FORMATS[form](frame, 0.03)
    assert "crashed" in text
    assert "only in base" in text
