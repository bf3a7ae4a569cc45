"""Sizes of images and of other grids: 224 is equal on every side, 224x320 is height x width, 8x224x224 has three."""

from __future__ import annotations

import math
import re

Resolution = int | str
"""A number where all sides are equal, else their text: so 224x224 is 224, and compares as that."""

DIMENSIONS = {"volume": 3}
"""Sides of an item, by what it is called, where those are not two."""

_TEXT = re.compile(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", re.ASCII)


def read_resolution(value: object) -> Resolution:
    """The resolution in a number or in a text such as `224` or `224x320`.

    Raises:
        ValueError: for anything else.
    """
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    text = str(whole).strip().lower()
    if isinstance(value, bool) or not _TEXT.fullmatch(text):
        raise ValueError(
            f"{text[:20]!r} is not a whole number above 0 and below 10^9, nor height x width; write for example "
            "224, or 224x320"
        )
    return _shortest([int(part) for part in text.split("x")])


def sides_of(resolution: Resolution, dimensions: int) -> tuple[int, ...]:
    """Each side in px, the first first.

    Raises:
        ValueError: if it is written with another number of sides.
    """
    if isinstance(resolution, int):
        return (resolution,) * dimensions
    sides = tuple(map(int, resolution.split("x")))
    if len(sides) != dimensions:
        raise ValueError(f"{resolution} has {len(sides)} sides, and {dimensions} are needed")
    return sides


def dimensions_of(resolution: Resolution, unit: str) -> int:
    """How many sides a resolution has: those that are written, or where all are equal those of such items."""
    return DIMENSIONS.get(unit, 2) if isinstance(resolution, int) else resolution.count("x") + 1


def mean_side(resolution: Resolution) -> float:
    """The side in px of the square (or cube) with as many px; whole where it is a whole number."""
    if isinstance(resolution, int):
        return resolution
    sides = list(map(int, resolution.split("x")))
    return round(float(math.prod(sides) ** (1 / len(sides))), 6)


def aspect_of(resolution: Resolution) -> str:
    """The sides' proportions in lowest terms, `7:10` for 224x320; empty where all are equal."""
    if isinstance(resolution, int):
        return ""
    sides = list(map(int, resolution.split("x")))
    return ":".join(str(side // math.gcd(*sides)) for side in sides)


def resolution_at(aspect: str, side: float) -> Resolution:
    """The resolution of these proportions whose `mean_side` this is, to the nearest px."""
    if not aspect:
        return round(side)
    parts = list(map(int, aspect.split(":")))
    scale = side / math.prod(parts) ** (1 / len(parts))
    return _shortest([round(part * scale) for part in parts])


def _shortest(sides: list[int]) -> Resolution:
    return sides[0] if len(set(sides)) == 1 else "x".join(map(str, sides))
