"""Messages that name what is allowed and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(wrong: str, allowed: Iterable[str], most: int = 1) -> list[str]:
    """The names in `allowed` that `wrong` resembles, best first; empty where none is near."""
    return get_close_matches(wrong, list(allowed), n=most, cutoff=0.5)


def did_you_mean(wrong: str, allowed: Iterable[str]) -> str:
    """The end of a sentence: `; did you mean 'x'?` for the nearest of `allowed`, or `.` where none is near."""
    near = nearest(wrong, allowed)
    return f"; did you mean {near[0]!r}?" if near else "."


def one_of(allowed: Iterable[str]) -> str:
    """The allowed values as a readable list."""
    return ", ".join(allowed)
