"""Durations as people write them: `90s`, `3m`, `1h30m`, or plain seconds."""

from __future__ import annotations

import re

_PATTERN = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?")
_SECONDS = {"h": 3600, "m": 60, "s": 1}


def parse_duration(text: str | float) -> float:
    """Seconds in a duration such as `3m`, `90s`, `1h30m` or `45`.

    Raises:
        ValueError: if it is not a positive duration.
    """
    match = _PATTERN.fullmatch(str(text).strip().lower())
    parts = {unit: float(number) for unit, number in match.groupdict().items() if number} if match else {}
    seconds = sum(number * _SECONDS[unit] for unit, number in parts.items())
    if not seconds > 0:
        raise ValueError(f"{text!r} is not a positive duration; write for example 90s, 3m or 1h30m")
    return seconds


def format_duration(seconds: float) -> str:
    """A duration in words as short as `42 s`, `3 min 05 s`, `1 h 12 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
