"""Lists of names and sizes as people write them."""

from __future__ import annotations

from collections.abc import Sequence

from vigbench.report.rows import Sweep


def listed(names: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def some(names: Sequence[str], most: int) -> list[str]:
    """The names; of more than `most` the first ones, and how many more there are."""
    return list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"]


def sizes(extents: Sequence[float], sweep: Sweep) -> str:
    """`224 px`, `224 and 384 px`, `512 to 1024 px`."""
    if len(extents) > 2:
        return f"{sweep.size(extents[0])} to {sweep.text(extents[-1])}"
    return f"{' and '.join(map(sweep.size, extents))} {sweep.unit}"
