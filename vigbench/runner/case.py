"""The case that somebody means who names a subject and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vigbench.nearest import did_you_mean, one_of
from vigbench.runner.survey import survey
from vigbench.subjects.catalog import resolve_implementations, task_of, usual_resolution_of
from vigbench.subjects.own import is_own
from vigbench.suites.arguments import read_args
from vigbench.suites.axes import AXES, SWEPT
from vigbench.suites.case import Case
from vigbench.suites.custom import with_a_size
from vigbench.suites.shape import parse_entry
from vigbench.worker.describe import choose_device


def create_case(
    subject: str,
    *,
    args: Mapping[str, Any] | None = None,
    implementation: str = "",
    device: str = "auto",
    threads: int = 0,
    **axes: Any,
) -> Case:
    """The case of a subject that is there: what `vigbench.duel` and `vigbench.profile_subject` take.

    Args:
        subject: a model, `package.module:factory`, or an operator.
        args: further arguments of the model's constructor, as suites write them: `{"in_chans": 1}`.
        implementation: which code computes its operator; empty: what users get by default.
        device: auto, cpu or cuda.
        threads: CPU threads; 0 = one per physical core.
        **axes: a value of any axis by its name, as suites write it: `resolution=224`, `shape="3x32x64"`,
            `precision="bf16"`; where no size is given, a model is looked at at 224 px, of volumes at 96.

    Raises:
        ValueError: for a subject, implementation, device or setting that is none, with advice.
    """
    chosen = choose_device(device)
    values = {name: _read(name, value) for name, value in axes.items()}
    sizes = with_a_size(values, usual_resolution_of(subject))
    values |= sizes
    if "shape" in values and (only := parse_entry(values["shape"])[1]) not in (None, values["length"]):
        raise ValueError(f"shape: {values['shape']} is for {only} tokens; leave its @ out, or give that length.")
    if not is_own(subject):
        task_of(subject).require_axes(subject, {"resolution"} if "scan" in sizes else sizes)  # which says it
    if args and "length" in sizes:
        raise ValueError(f"{subject} is an operator, which has no constructor: leave args out.")
    arguments = _read_args(args or {})
    (resolved,) = resolve_implementations(subject, [implementation] if implementation else [], chosen, arguments)
    settings = {
        field: setting for name, value in values.items() for field, setting in AXES[name].settings(value).items()
    }
    case = Case.model_validate(
        {
            **settings,
            "subject": subject,
            "args": arguments,
            "implementation": resolved,
            "device": chosen,
            "threads": threads,
        }
    )
    survey([case])
    return case


def _read_args(args: Mapping[str, Any]) -> str:
    try:
        return read_args(args)
    except ValueError as error:
        raise ValueError(f"args: {error}.") from error


def _read(name: str, value: Any) -> Any:
    names = [axis.name for axis in SWEPT]
    if name not in names:
        raise ValueError(f"There is no axis {name!r}{did_you_mean(name, names)} Axes: {one_of(names)}.")
    try:
        return AXES[name].read(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}.") from error
