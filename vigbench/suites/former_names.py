"""Settings in the words of earlier versions: old suites and records still read, and earlier builds read new cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vigbench.suites.axes import ALL


def with_new_names(values: Any) -> Any:
    """The same mapping with the names and values that axes have now; anything else as it is."""
    if not isinstance(values, Mapping):
        return values
    found = dict(values)
    for axis in ALL:
        if axis.before is None or axis.before[0] not in found or axis.name in found:
            continue
        former, meaning = axis.before
        old = found.pop(former)
        new = [_meant(value, meaning) for value in (old if isinstance(old, list) else [old])]
        found[axis.name] = new if isinstance(old, list) else new[0]
    return found


def with_former_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """A case's settings in the words of earlier versions, which read no others; this one reads both."""
    found = dict(values)
    for axis in ALL:
        if axis.before is not None and axis.name in found:
            former, meaning = axis.before
            found[former] = _meant(found.pop(axis.name), {new: old for old, new in meaning.items()})
    return found


def _meant(value: Any, meaning: Mapping[Any, Any]) -> Any:
    return next((meant for written, meant in meaning.items() if written == value), value)
