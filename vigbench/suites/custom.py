"""The suite `custom`: subjects that are named on the command line, without a suite file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vigbench.suites.axes import AXES, SWEPT, Device
from vigbench.suites.planner import Overrides
from vigbench.suites.resolution import Resolution
from vigbench.suites.schema import Suite

NAME = "custom"
RESOLUTION = 224
BUDGET_S = 300.0
SIZES = {"resolution": "px", "scan": "", "length": "tokens"}  # axis -> its unit
_MOST_NAMED = 4  # subjects in the question; more of them are only counted


def custom_suite(overrides: Overrides, usual: Callable[[str], Resolution] = lambda _: RESOLUTION) -> Suite:
    """A suite of the subjects in `overrides`; every setting that is not there has the default of `vigbench duel`.

    That is the `usual` size of the first subject, batch 1, float32, one forward pass, on any device, in at most 5
    minutes.

    Raises:
        ValueError: if no subject is named, one is not named in full, or the sizes are not of one kind.
    """
    if not overrides.subject:
        raise ValueError("Name a suite, or the subjects to measure.")
    for name in overrides.subject:
        if not name:
            raise ValueError("A subject's name is empty; write names with single commas between them.")
        if any(character in name for character in "*?["):
            raise ValueError(
                f"Without a suite there is nothing that {name!r} could choose from. Name each subject in full "
                f"(vigbench list subjects '{name}' shows them), or name a suite."
            )
    subjects = list(dict.fromkeys(overrides.subject))
    extent = _extent(overrides, usual(subjects[0]))
    section = {**extent, "budget": BUDGET_S}
    return Suite.model_validate(
        {
            "name": NAME,
            "question": _question(subjects, extent),
            "subjects": subjects,
            "devices": {device.value: section for device in Device},
        }
    )


def with_a_size(axes: Mapping[str, Any], usual: Any) -> dict[str, Any]:
    """The axes of size among what somebody has set, `usual` for the resolution where there is none of them.

    Raises:
        ValueError: if they are not those of models or those of operators.
    """
    given = {name: value for name, value in axes.items() if AXES[name].of_size} or {"resolution": usual}
    if sorted(given) not in (["resolution"], ["scan"], ["length", "shape"]):
        raise ValueError("Give models --resolution, or operators both --length and --shape.")
    return given


def _extent(overrides: Overrides, usual: Resolution) -> dict[str, list[Any]]:
    """The axes that say how large a case is."""
    asked = {axis.name: list(values) for axis in SWEPT if axis.of_size and (values := getattr(overrides, axis.name))}
    return with_a_size(asked, [usual])


def _question(subjects: list[str], extent: dict[str, list[Any]]) -> str:
    (axis, unit), *_ = (named for named in SIZES.items() if named[0] in extent)
    sizes = f"{_listed(extent[axis])} {unit}".rstrip()
    if len(subjects) == 1:
        return f"How fast is {subjects[0]}, and how much memory does it take, at {sizes}?"
    named = _listed(subjects) if len(subjects) <= _MOST_NAMED else f"these {len(subjects)} subjects"
    return f"How do {named} compare in latency, throughput and memory at {sizes}?"


def _listed(values: Iterable[object]) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} and {last}" if first else last
