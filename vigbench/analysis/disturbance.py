"""Which values can carry a conclusion, and which cannot: the one rule for every law, sentence and verdict.

What other processes disturbed (the mark `contended`) says nothing about times, rates and energy; memory and counts stay
as they are. Where a quantity falls although it must rise with the size, one of the two values is not right, and nobody
knows which.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import pandas as pd

from vigbench.analysis.sides import SETTINGS
from vigbench.records.column import Combine, QuantityKind
from vigbench.records.metrics import COLUMNS, SOURCES
from vigbench.records.schema import Status, names_in
from vigbench.stats.growth_law import NORMAL_95
from vigbench.stats.hierarchical import UNSEEN_SPREAD
from vigbench.suites.axes import ALL
from vigbench.suites.resolution import aspect_of, mean_side, read_resolution

Row = Mapping[str, Any]
CONTENDED = "contended"
LEFT_OUT = "left_out"  # what is found for a row, as rows keep it
KEYS = tuple(name for name in SETTINGS if name not in ("resolution", "length"))
MEMORY_SPREAD = 0.005  # assumed relative standard error: an allocator's peak hardly varies
LEAST_ERROR = 0.001  # no value is taken to be better known than this
_TIMED_KINDS = (QuantityKind.time, QuantityKind.rate, QuantityKind.energy)
TIMED = frozenset(name for name, column in COLUMNS.items() if column.kind in _TIMED_KINDS)
RISING = (*(name for name, column in COLUMNS.items() if column.less), "gmacs")  # with the size
BESIDE = {"latency_ms": ("throughput_per_s",)}  # what is made of the same calls
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Fall:
    """A smaller and a larger size of one curve, of which the smaller has surely more, though it must have less."""

    metric: str
    smaller: Row
    larger: Row

    def sentence(self, name: str) -> str:
        """`deit [sdpa] took longer at 384 px (1,651 ms) than at 512 px (870 ms): one of the two was disturbed.`"""
        kind = COLUMNS[self.metric].kind
        words = {QuantityKind.time: "took longer", QuantityKind.memory: "needed more memory"}
        more, less = (f"{size_text(row)} ({_amount(row, self.metric)})" for row in (self.smaller, self.larger))
        why = self._cause() if kind is QuantityKind.time else "look at both before you trust either"
        return f"{name} {words.get(kind, 'had more multiply-adds')} at {more} than at {less}: {why}."

    def _cause(self) -> str:
        marked = [size_text(row) for row in (self.smaller, self.larger) if is_contended(row)]
        if not marked:
            return "one of the two was disturbed"
        return f"other processes disturbed the one at {marked[0]}" if len(marked) == 1 else "both were disturbed"


class _Point(NamedTuple):
    size: float
    low: float
    high: float
    place: int


def is_contended(row: Row) -> bool:
    """Whether other processes disturbed a record's times."""
    return CONTENDED in names_in(row.get("marks"))


def left_out(rows: Sequence[Row]) -> list[frozenset[str]]:
    """For each record of one or several runs the columns whose value carries no conclusion; mostly none.

    Args:
        rows: with the columns of records; what is missing may be None or NaN.
    """
    contended = [is_contended(row) for row in rows]
    found = [TIMED if disturbed else _NOTHING for disturbed in contended]
    for places in _series(rows):
        for metric in RISING:
            sound = [place for place in places if metric not in found[place]]
            for pair in _falls(rows, sound, metric):
                for place in pair:
                    found[place] |= {metric, *BESIDE.get(metric, ())}
    return found


def find_falls(rows: Sequence[Row]) -> list[Fall]:
    """Where curves fall although they must rise, disturbed cases included; of each kind of quantity each pair once."""
    found: dict[tuple[QuantityKind, int, int], Fall] = {}
    for places in _series(rows):
        for metric in RISING:
            for smaller, larger in _falls(rows, places, metric):
                key = (COLUMNS[metric].kind, smaller, larger)
                found.setdefault(key, Fall(metric, rows[smaller], rows[larger]))
    return list(found.values())


def names_of(rows: Sequence[Row]) -> list[str]:
    """For each record its subject, its implementation, and the settings that are not the same in all."""
    varying = [axis for axis in ALL if not axis.of_size and len({_known(row.get(axis.name)) for row in rows}) > 1]
    several_runs = len({_known(row.get("run")) for row in rows}) > 1
    names = []
    for row in rows:
        known = [(axis, value) for axis in varying if (value := _known(row.get(axis.name))) is not None]
        where = [axis.in_words(axis.read(value)) for axis, value in known]
        where += [str(row["run"])] if several_runs else []
        implementation = _known(row.get("implementation"))
        name = str(row["subject"]) + f" [{implementation}]" * (implementation not in (None, "", "default"))
        names.append(f"{name} ({', '.join(filter(None, where))})" if any(where) else name)
    return names


def has_value(row: Row, metric: str) -> bool:
    """Whether a record has a value above 0; what is counted is known of failed cases, too."""
    value = _known(row.get(metric))
    valid = row["status"] == Status.ok or COLUMNS[metric].kind is QuantityKind.cost
    return bool(valid and value is not None and math.isfinite(value) and value > 0)


def relative_error(row: Row, metric: str) -> float:
    """The relative standard error of a record's value, see `curves_of`; what is missing may be None or NaN."""
    column = COLUMNS[metric]
    if column.kind is QuantityKind.memory:
        return MEMORY_SPREAD
    if column.kind is QuantityKind.cost:
        return LEAST_ERROR
    assert column.interval is not None
    low, high = (row.get(name) for name in column.interval)
    within = math.log(high / low) / 2 / NORMAL_95 if low and high and 0 < low <= high < math.inf else 0.0
    recorded = row.get("processes")
    processes = recorded if recorded and recorded >= 1 else 1
    seen = column.combine is Combine.estimate and processes > 1
    spread = UNSEEN_SPREAD.get(str(row.get("device")), max(UNSEEN_SPREAD.values()))
    return max(LEAST_ERROR, math.hypot(within, 0.0 if seen else spread / math.sqrt(processes)))


def size_text(row: Row) -> str:
    """`384 px`, `4096 tokens`."""
    length = _known(row.get("length"))
    return f"{int(length)} tokens" if length else f"{read_resolution(row['resolution'])} px"


def size_of(row: Row) -> float:
    """The length, or the mean side of the resolution; 0 where there is neither."""
    length, resolution = (_known(row.get(name)) for name in ("length", "resolution"))
    return float(length or (mean_side(read_resolution(resolution)) if resolution else 0))


def _series(rows: Sequence[Row]) -> Iterator[list[int]]:
    """The places of each curve's records, sizes rising: one subject, implementation and run, all else the same."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(rows):
        resolution = _known(row.get("resolution"))
        aspect = aspect_of(read_resolution(resolution)) if isinstance(resolution, str) else ""
        groups.setdefault((aspect, *(_known(row.get(name)) for name in ("run", *KEYS))), []).append(place)
    for places in groups.values():
        if len(places) > 1:
            yield sorted(places, key=lambda place: size_of(rows[place]))


def _falls(rows: Sequence[Row], places: Sequence[int], metric: str) -> list[tuple[int, int]]:
    """Neighbours of which the smaller has more, beyond both 95% intervals; then among those left, until all rise."""
    source = SOURCES.get(metric, "")
    valued = sorted(
        (place for place in places if has_value(rows[place], metric)), key=lambda place: str(rows[place].get(source))
    )
    found: list[tuple[int, int]] = []
    for _, members in groupby(valued, key=lambda place: str(rows[place].get(source))):  # two sources do not compare
        own = list(members)
        if all(rows[one][metric] <= rows[other][metric] for one, other in pairwise(own)):
            continue  # mostly so: nothing to look at closely
        left = [_point(rows[place], metric, place) for place in own]
        while falling := [(a, b) for a, b in pairwise(left) if a.size < b.size and a.low > b.high]:
            found += [(smaller.place, larger.place) for smaller, larger in falling]
            gone = {point for pair in falling for point in pair}
            left = [point for point in left if point not in gone]
    return found


def _point(row: Row, metric: str, place: int) -> _Point:
    value, half = float(row[metric]), NORMAL_95 * relative_error(row, metric)
    return _Point(size_of(row), value * math.exp(-half), value * math.exp(half), place)


def _amount(row: Row, metric: str) -> str:
    value = float(row[metric])
    digits = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{digits} {COLUMNS[metric].unit.of()}"


def _known(value: Any) -> Any:
    """None for what is missing."""
    return None if value is None or value is pd.NA or value != value else value
