"""Reading `run.json`: what of it is used has the type that it has to have, or the file is damaged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vigbench.records.files import read_object

_Types = tuple[type, ...]
_TEXT: _Types = (str,)
_LIST: _Types = (list,)
_OBJECT: _Types = (dict,)
_NUMBER: _Types = (int, float)
_FLAG: _Types = (bool,)
_WORDS: Mapping[_Types, str] = {
    _TEXT: "a text",
    _LIST: "a list",
    _OBJECT: "an object",
    _NUMBER: "a number",
    _FLAG: "true or false",
}
_KINDS: Mapping[str, _Types] = {
    **dict.fromkeys(("id", "run", "suite", "question", "note", "device", "device_name", "code"), _TEXT),
    **dict.fromkeys(("started_at", "finished_at", "environment.torch", "environment.python"), _TEXT),
    **dict.fromkeys(("command_line", "cases"), _LIST),
    **dict.fromkeys(("suite_definition", "environment", "environment.ceilings"), _OBJECT),
    **dict.fromkeys((f"environment.{name}" for name in ("cpu", "gpu", "packages", "memory_gib", "git")), _OBJECT),
    **dict.fromkeys(("planned_cases", "budget_s", "case_timeout_s", "processes"), _NUMBER),
    **dict.fromkeys(("calibrate", "shipped_suite"), _FLAG),
}
"""Path of a key -> its types; a key may be absent or null."""


def read_info(file: Path) -> dict[str, Any]:
    """The content of `run.json`.

    Raises:
        ValueError: if it is damaged; the message names the file and what is wrong.
    """
    info = read_object(file)
    for path, value in _known(info, ""):
        kind = _KINDS[path]
        if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind != _FLAG)):
            raise ValueError(f"{file} is damaged: {path} is {_short(value)}, not {_WORDS[kind]}.")
    return info


def require_keys(info: Mapping[str, Any], file: Path, names: Iterable[str]) -> None:
    """Raise ValueError unless what was read from this file has a value for each name."""
    if missing := [name for name in names if not info.get(name)]:
        raise ValueError(f"{file} is damaged: it does not name the run's {missing[0]}.")


def _known(values: Mapping[str, Any], front: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        path = f"{front}{name}"
        if path in _KINDS:
            yield path, value
            if isinstance(value, Mapping):
                yield from _known(value, f"{path}.")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
