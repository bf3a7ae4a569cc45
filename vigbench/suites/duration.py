"""Durations as people write them: `90s`, `3m`, `1h30m`, or plain seconds."""

from __future__ import annotations

import re

_NUMBER = r"(\d+(?:\.\d+)?)"
_UNITS = re.compile(f"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)
_SECONDS = (3600, 60, 1)
_MOST_S = 1e9


def parse_duration(text: str | float) -> float:
    """Seconds in a duration such as `3m`, `90s`, `1h30m` or `45`.

    Raises:
        ValueError: if it is not a positive duration.
    """
    written = str(text).strip().lower()
    if _PLAIN.fullmatch(written):
        seconds = float(written)
    else:
        match = _UNITS.fullmatch(written)
        parts = match.groups() if match else ()
        seconds = sum(float(number) * unit for number, unit in zip(parts, _SECONDS, strict=False) if number)
    if not 0 < seconds < _MOST_S:
        raise ValueError(
            f"{written[:40]!r} is not a positive duration below 10^9 s; write for example 90s, 3m or 1h30m"
        )
    return seconds


def format_duration(seconds: float) -> str:
    """A duration in words as short as `42 s`, `3 min 05 s`, `1 h 12 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
