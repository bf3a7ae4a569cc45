"""What a time becomes over ranks, as text: a table for a terminal, Markdown, CSV, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from vigbench.analysis.rank_scaling import SETTINGS
from vigbench.analysis.table import escape_markdown
from vigbench.tabulate import aligned, markdown

HEADS = ("tokens", "ranks", "exchange", "GB/s", "sent, MiB", "K and V, MiB", "alone, ms", "predicted, ms", "speedup",
         "sends less from, tokens", "faster from, tokens")  # fmt: skip
INTRODUCTION = (
    "On paper: gated linear attention, both directions, cut over ranks that compute as fast as this device did. Sent: "
    "what a rank sends in an iteration; K and V: what gathering keys and values would send. The last columns: from "
    "which length on states are less to send than keys and values, and from which GLA is predicted to be faster than "
    "attention that gathers them, where attention was measured. No network was measured: see docs/sequence-parallel.md."
)


def as_table(frame: pd.DataFrame) -> str:
    """Aligned columns for a terminal, settings that all rows share in a line before them."""
    head, rows = _cells(frame)
    return f"{INTRODUCTION}\n{_shared(frame)}\n\n{aligned([head, *rows], right=range(len(head)))}"


def as_markdown(frame: pd.DataFrame) -> str:
    """GitHub-flavoured Markdown."""
    head, rows = _cells(frame)
    return f"{escape_markdown(INTRODUCTION)} {escape_markdown(_shared(frame))}\n\n{markdown(head, rows)}"


def as_csv(frame: pd.DataFrame) -> str:
    """All columns, full precision."""
    return frame.to_csv(index=False).rstrip("\n")


def as_json(frame: pd.DataFrame) -> str:
    """A list of objects; what is missing is null."""
    return json.dumps(json.loads(frame.to_json(orient="records", double_precision=15)), indent=2)


FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "table": as_table,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}


def _shared(frame: pd.DataFrame) -> str:
    names = [name for name in SETTINGS if frame[name].nunique() == 1]
    return ", ".join(f"{name.replace('_', ' ')} {frame[name].iloc[0]}" for name in names)


def _cells(frame: pd.DataFrame) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    varying = [name for name in SETTINGS if frame[name].nunique() > 1]
    rows = [(*(str(row[name]) for name in varying), *_numbers(row)) for row in frame.to_dict("records")]
    return (*varying, *HEADS), rows


def _numbers(row: Mapping[Any, Any]) -> tuple[str, ...]:
    faster = row["faster_from_tokens"]
    return (
        str(row["length"]),
        str(row["ranks"]),
        row["exchange"],
        f"{row['gb_per_s']:g}",
        f"{row['sent_mib_per_rank']:.3g}",
        f"{row['key_value_mib_per_rank']:.3g}",
        f"{row['alone_ms']:.3g}",
        f"{row['predicted_ms']:.3g}",
        f"{row['speedup']:.2f}",
        f"{row['crossover_tokens']:.0f}",
        "" if pd.isna(faster) else f"{faster:.0f}",
    )
