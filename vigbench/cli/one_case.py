"""The case that is said by options with one value each, for the commands that look at one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigbench.suites.axes import AXES

if TYPE_CHECKING:
    from vigbench.suites.case import Case

BatchSize = Annotated[int, typer.Option(help="Images per iteration.", min=1)]
Precision = Annotated[str, typer.Option(help=AXES["precision"].help)]
Threads = Annotated[int, typer.Option(help=AXES["threads"].help, min=0)]
RESOLUTION = 224  # px, where no size is given


def make_case(subject: str, implementation: str, device: str, axes: Mapping[str, Any], threads: int = 0) -> Case:
    """The case of a subject that is there, with the implementation that is named, or that users get by default.

    Raises:
        ValueError: for a subject, implementation, device or setting that is none, with advice.
    """
    from vigbench.runner.machine import choose_device
    from vigbench.subjects.catalog import resolve_implementations, task_of
    from vigbench.subjects.own import require_buildable
    from vigbench.suites.case import Case

    chosen = choose_device(device)
    given = [name for name in axes if AXES[name].of_size]
    if not given:
        axes = {"resolution": RESOLUTION, **axes}
    elif sorted(given) not in (["resolution"], ["length", "shape"]):
        raise ValueError("Give models --resolution, or operators both --length and --shape.")
    task = task_of(subject)
    task.require_axes(subject, given or ["resolution"])
    if "resolution" in axes:
        require_buildable(subject, [axes["resolution"]])
    (resolved,) = resolve_implementations(subject, [implementation] if implementation else [], chosen)
    settings = {field: one for name, value in axes.items() for field, one in AXES[name].settings(value).items()}
    case = Case.model_validate(
        {**settings, "subject": subject, "implementation": resolved, "device": chosen, "threads": threads}
    )
    task.require(case)
    return case
