"""The shape of an operator's heads, as suites and the command line write it: heads x key_dim x value_dim."""

from __future__ import annotations

import re
from typing import NamedTuple

_PATTERN = re.compile(r"([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})", re.ASCII)
_LENGTH = re.compile(r"[1-9]\d{0,8}", re.ASCII)


class Shape(NamedTuple):
    """Heads of an operator, and the channels of each."""

    heads: int
    key_dim: int
    value_dim: int

    def __str__(self) -> str:
        return f"{self.heads}x{self.key_dim}x{self.value_dim}"


def parse_shape(text: str) -> Shape:
    """The shape in a text such as `3x32x64`.

    Raises:
        ValueError: for anything else.
    """
    match = _PATTERN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not heads x key_dim x value_dim; write for example 3x32x64")
    return Shape(*map(int, match.groups()))


def parse_entry(text: str) -> tuple[Shape, int | None]:
    """A suite's entry: a shape, and after an `@` the one length at which it is measured, as in `12x32x64@4096`.

    Raises:
        ValueError: for anything else.
    """
    shape, at, length = text.partition("@")
    if at and not _LENGTH.fullmatch(length):
        raise ValueError(f"{length[:40]!r} is no length in tokens; write for example 12x32x64@4096")
    return parse_shape(shape), int(length) if at else None
