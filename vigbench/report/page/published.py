"""The table of what was measured beside what is published for the same models, each at its published resolution."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from vigbench.published import Published, all_published, is_rounded_from, published
from vigbench.report.metrics import ACTIVATIONS, GMACS, LATENCY, PEAK, THROUGHPUT, Metric, number
from vigbench.report.page.cells import interval_text
from vigbench.report.rows import Row
from vigbench.report.style import family_rank

CLOSE = 0.02  # counters that include norms are up to 1% above the rule; two digits round by as much
MEASURED = (THROUGHPUT, LATENCY, ACTIVATIONS, PEAK)


@dataclass(frozen=True)
class NotedCell:
    """A cell, and the numbers of the notes below the table that it refers to."""

    text: str
    value: float | None = None
    tip: str = ""
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class PublishedTable:
    """Heads with their units, cells, and the notes that these refer to, numbered from 1."""

    subtitle: str
    heads: list[tuple[str, str, bool]]  # name, unit, numeric
    rows: list[list[NotedCell]]
    notes: list[str]


class _Notes:
    """Numbers texts in the order in which they are first referred to."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, *texts: str) -> tuple[int, ...]:
        return tuple(sorted({self.numbers.setdefault(text, len(self.numbers) + 1) for text in texts if text}))


def published_table(rows: Sequence[Row]) -> PublishedTable | None:
    """Every case of a model at a size for which values are published; None where there is none."""
    found = [
        (row, values, row["setting"])
        for row in rows
        if row["resolution"] is not None and (values := published(row["subject"], row["resolution"]))
    ]
    if not found:
        return None
    settings = {setting for _, _, setting in found}
    several, failed = len(settings) > 1, any(row["status"] != "ok" for row, _, _ in found)
    sizes = sorted({values.resolution for _, values, _ in found})
    mixed = len(sizes) > 1
    measured = [metric for metric in MEASURED if any(row[metric.column] is not None for row, _, _ in found)]
    place = {values: index for index, values in enumerate(all_published())}
    found.sort(key=lambda case: (family_rank(case[0]["family"]), place[case[1]], case[0]["implementation"]))
    notes = _Notes()
    body = []
    for row, values, setting in found:
        cells = [NotedCell(row["label"], tip=row["whole"], notes=notes(_sentence(values.note)))]
        cells += [NotedCell(str(values.resolution), values.resolution)] * mixed
        cells += [NotedCell(setting.text())] * several
        cells += _parameters(row, values, notes) + _multiply_adds(row, values, notes)
        cells += [_printed(values.top1, notes(_sentence(values.top1_source, "Source: ")))]
        cells += [_measured(row, metric) for metric in measured]
        cells += [NotedCell(row["status"].replace("_", " "), tip=row["reason"])] * failed
        body.append(cells)
    where = "one row for each setting" if several else settings.pop().text()
    heads = _heads(measured, mixed=mixed, several=several, failed=failed)
    at = " and ".join(map(str, sizes))
    return PublishedTable(f"At {at} px · {where}", heads, body, list(notes.numbers))


def difference(values: Published, gmacs: float) -> str:
    """Why the published count is not within 2% of this one: rounding, way of counting or unexplained; else empty."""
    if values.gmacs is None or abs(float(values.gmacs) / gmacs - 1) <= CLOSE:
        return ""
    if is_rounded_from(values.gmacs, gmacs):
        return "rounding"
    # the way of counting explains no more than what it gives itself
    share = float(values.counted_share or 1)
    return "way of counting" if abs(float(values.gmacs) / (share * gmacs) - 1) <= CLOSE else "unexplained"


def _heads(measured: Iterable[Metric], *, mixed: bool, several: bool, failed: bool) -> list[tuple[str, str, bool]]:
    heads = [("Model", "", False)] + [("Resolution", "px", True)] * mixed + [("Setting", "", False)] * several
    heads += [("Parameters", "millions", True), ("published", "millions", True)]
    heads += [("Multiply-adds", "GMACs", True), ("published", "GMACs", True)]
    heads += [("Ratio", "published / here", True), ("Difference", "above 2%", False), ("Top-1", "%, published", True)]
    heads += [(metric.name, metric.unit, True) for metric in measured]
    return heads + [("Status", "", False)] * failed


def _parameters(row: Row, values: Published, notes: _Notes) -> list[NotedCell]:
    params = None if row["params"] is None else float(row["params"]) / 1e6
    return [_counted(params), _printed(values.params_m, notes(_sentence(values.params_source, "Source: ")))]


def _multiply_adds(row: Row, values: Published, notes: _Notes) -> list[NotedCell]:
    gmacs = row[GMACS.column]
    counted = _sentence(values.counted, "Counted: ")
    cells = [_counted(gmacs), _printed(values.gmacs, notes(_sentence(values.gmacs_source, "Source: "), counted))]
    if not gmacs or values.gmacs is None:
        return [*cells, NotedCell(""), NotedCell("")]
    ratio = float(values.gmacs) / gmacs
    why = difference(values, gmacs)
    because = notes(counted) if why == "way of counting" else ()
    return [*cells, NotedCell(f"{ratio:.2f}", ratio), NotedCell(why, notes=because)]


def _counted(value: float | None) -> NotedCell:
    """Four digits: published values have up to as many."""
    return NotedCell("") if value is None else NotedCell(f"{value:#.4g}".rstrip("."), value)


def _printed(value: Decimal | None, notes: tuple[int, ...]) -> NotedCell:
    return NotedCell("") if value is None else NotedCell(str(value), float(value), notes=notes)


def _measured(row: Row, metric: Metric) -> NotedCell:
    return NotedCell(number(row[metric.column]), row[metric.column], interval_text(row, metric))


def _sentence(text: str, front: str = "") -> str:
    return f"{front}{text}." if text else ""
