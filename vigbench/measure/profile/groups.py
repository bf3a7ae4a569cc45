"""Repeated modules under one name: `blocks.0.attn` to `blocks.11.attn` become `blocks.*.attn`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping


def group_names(classes: Mapping[str, str]) -> dict[str, str]:
    """The group of every module: numbered modules beside each other are one if they are all of one class.

    Args:
        classes: qualified name -> class, of all modules of a model.
    """
    numbered: dict[str, set[str]] = defaultdict(set)
    count: dict[str, int] = defaultdict(int)
    for path, name in classes.items():
        parent, _, last = path.rpartition(".")
        if last.isdecimal():
            numbered[parent].add(name)
            count[parent] += 1
    merged = {parent for parent, found in numbered.items() if len(found) == 1 and count[parent] > 1}
    return {path: _group(path, merged) for path in classes}


def _group(path: str, merged: set[str]) -> str:
    parts = path.split(".")
    return ".".join(
        "*" if part.isdecimal() and ".".join(parts[:index]) in merged else part for index, part in enumerate(parts)
    )
