"""Where the labels at the line ends go: beside the last point, spread so that none covers another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LINE = 11.5  # height of a label, points
REACH = 7.0  # from the last point to its label


@dataclass(frozen=True)
class Box:
    """A label's place in points, from the lower left corner of the axes; `y` is the middle."""

    x: float
    y: float
    width: float

    def overlaps(self, other: Box) -> bool:
        across = self.x < other.x + other.width and other.x < self.x + self.width
        return across and abs(self.y - other.y) < LINE

    def covers(self, points: npt.NDArray[np.float64]) -> bool:
        """Whether one of these (x, y) lies inside, with a little air."""
        x, y = points[:, 0], points[:, 1]
        inside = (x > self.x - 2) & (x < self.x + self.width + 2) & (abs(y - self.y) < LINE / 2 + 1)
        return bool(inside.any())


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near as possible to the wanted ones, at least `gap` apart, inside [low, high] if all fit."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    groups: list[tuple[float, int]] = []  # (middle, members): neighbours that touch move as one
    for index in order:
        middle, members = wanted[index], 1
        while True:
            half = (members - 1) * gap / 2
            middle = max(low + half, min(high - half, middle))
            if not groups or middle - half - gap >= groups[-1][0] + (groups[-1][1] - 1) * gap / 2:
                break
            before, count = groups.pop()
            middle = (before * count + middle * members) / (count + members)
            members += count
        groups.append((middle, members))
    places = [middle + (k - (members - 1) / 2) * gap for middle, members in groups for k in range(members)]
    result = [0.0] * len(wanted)
    for index, place in zip(order, places, strict=True):
        result[index] = place
    return result


def near(
    ends: Mapping[int, tuple[float, float]],
    widths: Sequence[float],
    lines: Sequence[npt.NDArray[np.float64]],
    area: tuple[float, float],
) -> dict[int, Box]:
    """A box close to each of these ends, as far as there is room that no line and no other box takes."""
    width, height = area
    dense = np.concatenate([_dense(line) for line in lines])
    found: dict[int, Box] = {}
    for index, (x, y) in ends.items():
        for box in _around(x, y, widths[index]):
            inside = 0 < box.y < height and box.x > 0 and box.x + box.width < width
            if inside and not box.covers(dense) and not any(box.overlaps(other) for other in found.values()):
                found[index] = box
                break
    return found


def place(
    ends: Sequence[tuple[float, float]],
    widths: Sequence[float],
    lines: Sequence[npt.NDArray[np.float64]],
    area: tuple[float, float],
) -> list[Box]:
    """A box for each line end: in the plot where a line ends early and there is room, else in the right column."""
    width, height = area
    early = {index: end for index, end in enumerate(ends) if end[0] + REACH + widths[index] < width - REACH}
    inner = near(early, widths, lines, area)
    outer = [index for index in range(len(ends)) if index not in inner]
    heights = spread([ends[index][1] for index in outer], LINE, 0, height)
    column = dict(zip(outer, heights, strict=True))
    return [inner[i] if i in inner else Box(width + REACH, column[i], widths[i]) for i in range(len(ends))]


def _around(x: float, y: float, width: float) -> list[Box]:
    """Places near a line end, the best first: right of it, then left and centred, above and below."""
    steps = [sign * step * LINE for step in (0.9, 1.2, 1.5) for sign in (1, -1)]
    right = [Box(x + REACH, y + step, width) for step in (0.0, *steps[:4])]
    return right + [Box(x - shift, y + step, width) for step in steps for shift in (width + 3, width / 2)]


def _dense(line: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A polyline sampled every two points, to test what lies on it."""
    if len(line) < 2:
        return line
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0, length[-1], max(2, int(length[-1] / 2)))
    return np.column_stack([np.interp(at, length, line[:, 0]), np.interp(at, length, line[:, 1])])
