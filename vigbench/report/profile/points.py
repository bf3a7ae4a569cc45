"""Operators and modules against the device's ceilings, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vigbench.records.profile import CostRow
from vigbench.report.profile.text import module_name

LEAST_SHARE = 0.0005  # of the time, to be shown
REACHED = 0.5  # of a ceiling: from here on an operator counts as bounded by it
MIB, GIGA = 2**20, 1e9


@dataclass(frozen=True)
class RooflinePoint:
    """An operator, or the operators of a group of modules, in one iteration.

    Attributes:
        share: of the time.
        intensity: FLOPs for each byte of inputs and outputs; 0 where the rule counts no multiply-add.
        gflop_per_s, gb_per_s: achieved.
    """

    label: str
    is_module: bool
    share: float
    ms: float
    intensity: float
    gflop_per_s: float
    gb_per_s: float


def operator_points(rows: Sequence[CostRow], most: int) -> list[RooflinePoint]:
    """The operators with multiply-adds, the largest first, at most so many."""
    return _points([row for row in rows if row.gmacs], _operator, is_module=False)[:most]


@dataclass(frozen=True)
class OperatorFloor:
    """An operator of all modules together, in one iteration, forward and backward apart.

    Attributes:
        floor_ms: the sum of what its calls take at least; 0 where nothing is known.
        bound: what the largest part of that is bound by.
    """

    label: str
    share: float
    ms: float
    floor_ms: float
    bound: str


def by_operator(rows: Sequence[CostRow]) -> list[OperatorFloor]:
    """Every operator, the one that takes most time first; what lies between operators is one, too, without a floor."""
    by_label: dict[str, list[CostRow]] = {}
    for row in rows:
        by_label.setdefault(_operator(row), []).append(row)
    found = [
        OperatorFloor(
            label=label,
            share=sum(row.share for row in members),
            ms=sum(row.total_ms for row in members),
            floor_ms=sum(row.floor_ms for row in members),
            bound=max(members, key=lambda row: row.floor_ms).bound,
        )
        for label, members in by_label.items()
    ]
    return sorted(found, key=lambda one: -one.ms)


def module_points(rows: Sequence[CostRow], most: int) -> list[RooflinePoint]:
    """The groups of modules that have several operators with multiply-adds or other work beside it."""
    busy = {(row.group, row.phase) for row in rows if row.gmacs}
    mine = [row for row in rows if (row.group, row.phase) in busy and not row.operator.startswith("(")]
    return _points(mine, _group, is_module=True)[:most]


def moving_points(rows: Sequence[CostRow], most: int) -> list[RooflinePoint]:
    """The operators without multiply-adds that move data, the largest first, at most so many."""
    return _points([row for row in rows if not row.gmacs and row.moved_mib], _operator, is_module=False)[:most]


def _operator(row: CostRow) -> str:
    return row.operator + (", backward" if row.phase == "backward" else "")


def _group(row: CostRow) -> str:
    return module_name(row.group) + (", backward" if row.phase == "backward" else "")


def _points(rows: Sequence[CostRow], key: Callable[[CostRow], str], *, is_module: bool) -> list[RooflinePoint]:
    by_label: dict[str, list[CostRow]] = {}
    for row in rows:
        by_label.setdefault(key(row), []).append(row)
    points = [_point(label, members, is_module) for label, members in by_label.items()]
    return sorted((point for point in points if point.share >= LEAST_SHARE), key=lambda point: -point.ms)


def _point(label: str, rows: Sequence[CostRow], is_module: bool) -> RooflinePoint:
    ms = sum(row.total_ms for row in rows)
    flops, moved = 2 * GIGA * sum(row.gmacs for row in rows), MIB * sum(row.moved_mib for row in rows)
    return RooflinePoint(
        label=label,
        is_module=is_module,
        share=sum(row.share for row in rows),
        ms=ms,
        intensity=flops / moved if moved else 0.0,
        gflop_per_s=flops / ms / 1e6 if ms else 0.0,
        gb_per_s=moved / ms / 1e6 if ms else 0.0,
    )


def bounded_shares(rows: Sequence[CostRow]) -> tuple[float, float]:
    """Share of the time in operators that reach half of the matrix rate, and of those that reach half of a copy."""
    arithmetic = [row for row in rows if row.compute_share >= max(REACHED, row.bandwidth_share)]
    memory = [row for row in rows if row.bandwidth_share >= REACHED and row.bandwidth_share > row.compute_share]
    return sum(row.share for row in arithmetic), sum(row.share for row in memory)
