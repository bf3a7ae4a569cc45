"""A table that spreadsheets open alike in every language; docs/decisions.md says why it is written so."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd

from vigbench.records.files import ESCAPED
from vigbench.records.load import load_results

RECORDS = "records-excel.csv"
DIGITS = 15  # that a spreadsheet keeps of a number
_LIKE_A_NUMBER = re.compile(r"[\d.][\d.,:/+\- eE%]*")  # or a date: versions, and some hashes


def spreadsheet(frame: pd.DataFrame) -> bytes:
    """The frame as UTF-16 with tabs between the cells; no number has a decimal separator, no text is taken for more."""
    text = io.StringIO()
    table = csv.writer(text, dialect="excel-tab")
    table.writerow(frame.columns)
    table.writerows(map(_cell, row) for row in frame.itertuples(index=False, name=None))
    return codecs.BOM_UTF16_LE + text.getvalue().encode("utf-16-le", errors=ESCAPED)


def write_records(folder: Path, runs: Iterable[str | Path]) -> Path:
    """Write the records of runs as `spreadsheet` into a folder; returns the file. OSError if that fails."""
    path = folder / RECORDS
    path.write_bytes(spreadsheet(load_results(runs)))
    return path


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, float) and math.isfinite(value):
        return _number(value)
    return str(value) if isinstance(value, int | np.integer) else _text(str(value))


def _number(value: float) -> str:
    """`125E-1` for 12.5: a point or a comma would be read as a date, or as text, by half of the world."""
    sign, digits, exponent = Decimal(f"{value:.{DIGITS}g}").normalize().as_tuple()
    assert isinstance(exponent, int)
    whole = f"{'-' * sign}{''.join(map(str, digits))}"
    return f"{whole}{'0' * exponent}" if 0 <= exponent <= DIGITS - len(digits) else f"{whole}E{exponent}"


def _text(text: str) -> str:
    """In one line; behind an apostrophe where it would be a formula, a number or a date."""
    line = " ".join(text.split())
    taken = normalize("NFKC", line[:1]) in tuple("=+-@") or _LIKE_A_NUMBER.fullmatch(line)
    return f"'{line}" if taken else line
