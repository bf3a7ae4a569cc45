"""What a spreadsheet makes of the file must not depend on its language."""

import csv
import io
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.records.load import load_results
from vigbench.records.schema import Record
from vigbench.records.spreadsheet import spreadsheet, write_records
from vigbench.records.store import RunStore


def cells(frame: pd.DataFrame) -> list[list[str]]:
    return list(csv.reader(io.StringIO(spreadsheet(frame).decode("utf-16"), newline=""), dialect="excel-tab"))


def cell(value: Any) -> str:
    ((_, found),) = cells(pd.DataFrame({"first": [""], "second": pd.Series([value], dtype=object)}))[1:]
    return found


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value_and_has_neither_point_nor_comma(value: float) -> None:
    text = cell(value)
    whole, _, exponent = text.partition("E")
    assert re.fullmatch(r"-?\d+(E-?\d+)?", text)
    assert Fraction(whole) * Fraction(10) ** int(exponent or 0) == Fraction(f"{value:.15g}")


def test_whole_numbers_are_written_out() -> None:
    assert [cell(value) for value in (0.0, 224, np.int64(7), 64.0, -3.0, 12.5, 1e20)] == [
        *("0", "224", "7", "64", "-3", "125E-1", "1E20"),
    ]


@pytest.mark.parametrize("value", [None, float("nan"), np.nan, pd.NA, pd.NaT])
def test_what_is_missing_is_empty(value: Any) -> None:
    assert cell(value) == ""


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "@sum", "\t=1", " =cmd|' /C calc'!A0", "\uff1d1+1", "2.9",
                                  "2.14.1", "123456e78901", "1/2", "1-2", "12:30", ".5"])  # fmt: skip
def test_a_text_that_would_be_taken_for_more_stands_behind_an_apostrophe(text: str) -> None:
    assert cell(text) == f"'{text.strip()}"


@pytest.mark.parametrize(
    "text", ["vig_tiny_patch16_224", "224x320", "2.14.1+cu130", "12ab34cd56ef", "größer, ≤ 2", '"x"']
)
def test_any_other_text_is_as_it_is(text: str) -> None:
    assert cell(text) == text


@given(st.text())
def test_a_text_is_one_cell_of_one_line(text: str) -> None:
    assert len(cells(pd.DataFrame({"a": [text, "x"], "b": [1, 2]}))) == 3
    line = " ".join(text.split())
    assert cell(text) in (line, f"'{line}")


def test_records_of_a_run_lie_beside_the_others_and_change_nothing(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    info = {"suite": "smoke", "protocol": 1, "device_name": "café"}
    store = RunStore.create(tmp_path / "run", info)
    store.append(make_record(64), [{"latency_ms": [6.4]}])
    before = load_results(store.folder)
    path = write_records(store.folder, [store.folder])
    head, row = cells_of(path)
    assert dict(zip(head, row, strict=True)).items() >= {"device_name": "café", "latency_ms": "64E-1"}.items()
    pd.testing.assert_frame_equal(load_results(store.folder), before)


def cells_of(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-16"), newline=""), dialect="excel-tab"))
