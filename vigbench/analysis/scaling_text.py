"""Laws, crossovers and largest resolutions as text: tables and sentences for a terminal, Markdown, CSV, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vigbench.analysis.crossovers import SHARED, UNKNOWN
from vigbench.analysis.curves import ASPECT, curve_name
from vigbench.analysis.scaling import coefficient_columns
from vigbench.analysis.table import escape_markdown, printable
from vigbench.stats.crossover import Kind
from vigbench.tabulate import aligned, markdown

LAW_HEADS = ("curve", "exponent at the largest size", "between the last two", "constant", "per token",
             "per token^2", "law fits", "next", "predicted there", "note")  # fmt: skip
MEMORY_HEADS = ("curve", "memory, MiB", "largest, px", "measured, px", "out of memory, px", "note")
SHOWN_FROM = 2  # sizes
TOKENS = (
    "N = tokens: patches of 16 px, (px / 16)^2 (of volumes ^3), or an operator's length; 95% intervals in brackets."
)


@dataclass(frozen=True)
class Scaling:
    """What is told of a frame: the results of `fit_scaling`, `crossovers` and `largest_resolution`."""

    laws: pd.DataFrame
    crossovers: pd.DataFrame
    capacity: pd.DataFrame | None
    no_capacity: str = ""  # why there is none


def as_table(scaling: Scaling) -> str:
    """Aligned columns and sentences for a terminal. A name never moves the cursor."""
    parts = [f"{_title(scaling)} {TOKENS}", _disturbed(scaling.laws), _aligned(LAW_HEADS, _law_rows(scaling.laws))]
    parts += [_left_out(scaling.laws)]
    parts += ["Crossovers:", "\n".join(map(printable, _sentences(scaling.crossovers)))]
    rows = _memory_rows(scaling.capacity)
    parts += ["Largest resolution by peak memory:", _aligned(MEMORY_HEADS, rows)] if rows else [scaling.no_capacity]
    return "\n\n".join(part for part in parts if part)


def as_markdown(scaling: Scaling) -> str:
    """GitHub-flavoured Markdown. Names stay text."""
    parts = [escape_markdown(f"{_title(scaling)} {TOKENS}"), escape_markdown(_disturbed(scaling.laws))]
    parts += [_markdown(LAW_HEADS, _law_rows(scaling.laws)), _left_out(scaling.laws)]
    parts += ["**Crossovers**", "\n".join(f"* {escape_markdown(line)}" for line in _sentences(scaling.crossovers))]
    rows = _memory_rows(scaling.capacity)
    no_capacity = escape_markdown(scaling.no_capacity)
    parts += ["**Largest resolution by peak memory**", _markdown(MEMORY_HEADS, rows)] if rows else [no_capacity]
    return "\n\n".join(part for part in parts if part)


def as_csv(scaling: Scaling) -> str:
    """The laws: all columns, full precision."""
    return scaling.laws.to_csv(index=False).rstrip("\n")


def as_json(scaling: Scaling) -> str:
    """All three as lists of objects; what is missing is null."""
    parts = {
        "laws": scaling.laws,
        "crossovers": scaling.crossovers,
        "largest_resolution": scaling.laws.iloc[:0] if scaling.capacity is None else scaling.capacity,
    }
    content = {name: json.loads(frame.to_json(orient="records", double_precision=15)) for name, frame in parts.items()}
    return json.dumps(content, indent=2)


FORMATS: dict[str, Callable[[Scaling], str]] = {
    "table": as_table,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}


def _disturbed(laws: pd.DataFrame) -> str:
    count = sum(len(str(sizes).split(";")) for sizes in laws["disturbed"] if sizes)
    return f"Left out as disturbed: {count} of {count + int(laws['points'].sum())} values." if count else ""


def _title(scaling: Scaling) -> str:
    metric = scaling.laws["metric"].iloc[0] if len(scaling.laws) else "nothing"
    return f"Growth of {metric} over N."


def _left_out(laws: pd.DataFrame) -> str:
    count = int((laws["points"] < SHOWN_FROM).sum())
    return f"Not shown, with fewer than {SHOWN_FROM} sizes: {count} curve{'s' * (count > 1)}." if count else ""


def _law_rows(laws: pd.DataFrame) -> list[tuple[str, ...]]:
    varying, rows = _varying(laws), []
    for row in _rows(laws[laws["points"] >= SHOWN_FROM]):
        metric_unit = str(row["metric"]).rpartition("_")[2]
        unit = "MiB" if metric_unit == "mib" else metric_unit
        size = "px" if row["over"] == "resolution" else "tokens"
        coefficients = [_ranged(row, *names) for names in coefficient_columns(metric_unit)]
        exponents = [_ranged(row, name, f"{name}_low", f"{name}_high") for name in ("exponent", "exponent_between")]
        predicted = _ranged(row, "predicted", "predicted_low", "predicted_high")
        fits = "" if row["fits"] is None else "yes" if row["fits"] else "no"
        following = "" if row["next"] is None else f"{row['next']:.0f} {size}"
        told = [value and f"{value} {unit}" for value in (*coefficients, predicted)]
        rows.append((_label(row, varying), *exponents, *told[:3], fits, following, told[3], row["reason"]))
    return rows


def _memory_rows(capacity: pd.DataFrame | None) -> list[tuple[str, ...]]:
    if capacity is None:
        return []
    varying = _varying(capacity)
    return [
        (
            _label(row, varying),
            f"{row['memory_mib']:.0f}",
            _ranged(row, "largest_px", "largest_low_px", "largest_high_px", 5),
            _ranged(row, "largest_ok_px", digits=5),
            _ranged(row, "smallest_out_of_memory_px", digits=5),
            row["reason"],
        )
        for row in _rows(capacity[capacity["fits"].notna() | capacity["largest_px"].notna()])
    ]


def _sentences(found: pd.DataFrame) -> list[str]:
    """What is found, each once: a pair that is level is told in one order only, and nothing of what never happens."""
    varying = _varying(found)
    every = [row for row in _rows(found) if row["smallest"] < row["largest"]]  # of one size: nothing on growth
    rows = [row for row in every if row["kind"] not in (Kind.never, UNKNOWN)]
    rows = [row for row in rows if row["kind"] != Kind.level or row["a"] < row["b"]]
    lines = [f"{where}: {row['sentence']}" if (where := _where(row, varying)) else row["sentence"] for row in rows]
    unknown = {(frozenset((row["a"], row["b"])), _where(row, varying)) for row in every if row["kind"] == UNKNOWN}
    if unknown:
        pairs = f"{len(unknown)} pair{'s' * (len(unknown) > 1)} of curves"
        lines.append(f"Of {pairs} nothing can be told: too few sizes of both are undisturbed.")
    return list(dict.fromkeys(lines)) or ["No two curves with a common size in one setting cross."]


def _rows(frame: pd.DataFrame) -> list[Mapping[str, Any]]:
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _varying(frame: pd.DataFrame) -> list[str]:
    """The settings that differ between rows."""
    return [name for name in ("run", ASPECT, *SHARED) if name in frame and frame[name].nunique(dropna=False) > 1]


def _where(row: Mapping[str, Any], varying: Sequence[str]) -> str:
    parts = []
    for name in varying:
        value = row[name]
        if value not in (None, ""):  # square images have no aspect
            text = f"{value:.0f}" if isinstance(value, float) else str(value)
            parts.append(text if name in ("run", "precision", "phase", "device") else f"{name} {text}")
    return ", ".join(parts)


def _label(row: Mapping[str, Any], varying: Sequence[str]) -> str:
    name, where = curve_name(row), _where(row, varying)
    return f"{name} ({where})" if where else name


def _ranged(row: Mapping[str, Any], value: str, low: str = "", high: str = "", digits: int = 3) -> str:
    found, lower, upper = (_number(row.get(name), digits) for name in (value, low, high))
    if not found:
        return f"({lower} or more)" if lower else ""
    if not lower and not upper:
        return found
    return f"{found} ({lower} or more)" if not upper else f"{found} ({lower} to {upper})"


def _number(value: float | None, digits: int) -> str:
    """So many digits, whole numbers in full."""
    if value is None:
        return ""
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if 1000 <= abs(value) < 1e9 else text


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return aligned([heads, *([printable(cell) for cell in row] for row in rows)]) if rows else ""


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown(heads, [[escape_markdown(cell) for cell in row] for row in rows]) if rows else ""
