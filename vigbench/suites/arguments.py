"""Arguments of a subject's constructor beside its size, as a suite gives them: `args: {in_chans: 1}`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

SIDE_NAMES = ("img_size", "resolution")  # a parameter of this name is given the case's side in px
CHANNELS = "in_chans"
RGB = 3


def read_args(value: Any) -> str:
    """Arguments as canonical JSON, empty for none: numbers, texts, booleans, null and lists of those.

    Args:
        value: a mapping, or such a text.

    Raises:
        ValueError: without a full stop, for anything else, a size, or channels that are no number of them.
    """
    if isinstance(value, str):
        value = _from_text(value)
    if not isinstance(value, Mapping):
        raise ValueError(f"{str(value)[:40]!r} is no mapping of arguments; write for example {{in_chans: 1}}")
    for name, one in value.items():
        _require_argument(name, one)
    return json.dumps(dict(value), sort_keys=True, ensure_ascii=False) if value else ""


def args_of(text: str) -> dict[str, Any]:
    """The arguments in what `read_args` gave."""
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def with_args(subject: str, text: str) -> str:
    """A subject as people read it: `resnet18(in_chans=1, num_classes=10)`."""
    if not text:
        return subject
    written = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in args_of(text).items())
    return f"{subject}({', '.join(written)})"


def channels_of(text: str) -> int:
    """Channels of the images that a model with these arguments takes."""
    return int(args_of(text).get(CHANNELS, RGB))


def _from_text(text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{text[:40]!r} is no JSON object of arguments") from error


def _require_argument(name: Any, value: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{str(name)[:40]!r} is no name of an argument")
    if name in SIDE_NAMES:
        raise ValueError(f"{name} follows from the axis resolution; leave it out of the arguments")
    if name == CHANNELS and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**6):
        raise ValueError(f"{name} is {str(value)[:40]!r}; write a whole number above 0")
    for one in value if isinstance(value, list | tuple) else [value]:
        if one is not None and not isinstance(one, str | bool | int | float):
            raise ValueError(
                f"{name} holds {type(one).__name__}; give a number, text, boolean, null or a list of those"
            )
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError(f"{name} is {one}; give a finite number")
