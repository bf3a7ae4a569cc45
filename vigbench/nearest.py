"""Messages that name what is allowed and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(wrong: str, allowed: Iterable[str]) -> str:
    """The end of a sentence: `; did you mean 'x'?` for the nearest of `allowed`, or `.` where none is near."""
    near = get_close_matches(wrong, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "."


def one_of(allowed: Iterable[str]) -> str:
    """The allowed values as a readable list."""
    return ", ".join(allowed)
