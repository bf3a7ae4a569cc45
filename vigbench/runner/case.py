"""The case that somebody means who names a subject and settings."""

from __future__ import annotations

from typing import Any

from vigbench.subjects.catalog import require_its_kind, resolve_implementations
from vigbench.subjects.own import require_buildable
from vigbench.suites.case import Case
from vigbench.suites.custom import RESOLUTION
from vigbench.suites.schema import PRECISION_ALIASES
from vigbench.suites.shape import parse_shape
from vigbench.worker.describe import choose_device


def create_case(subject: str, *, implementation: str = "", device: str = "auto", **settings: Any) -> Case:
    """The case of a subject that is there: what `vigbench.duel` and `vigbench.profile_subject` take.

    Args:
        subject: a model, `package.module:factory`, or an operator.
        implementation: which code computes its operator; empty: what users get by default.
        device: auto, cpu or cuda.
        **settings: the other fields of `Case`; an operator may have a `shape` such as `3x32x64` instead of its three
            numbers, and a model without a resolution is looked at at 224 px.

    Raises:
        ValueError: for a subject, implementation, device or setting that is none, with advice.
    """
    chosen = choose_device(device)
    if (shape := settings.pop("shape", None)) is not None:
        settings |= parse_shape(shape)._asdict()
    if "length" not in settings:
        settings.setdefault("resolution", RESOLUTION)
    require_its_kind(subject, as_operator="length" in settings)
    if isinstance(resolution := settings.get("resolution"), int):
        require_buildable(subject, [resolution])
    (resolved,) = resolve_implementations(subject, [implementation] if implementation else [], chosen)
    if (precision := settings.get("precision")) is not None:
        settings["precision"] = PRECISION_ALIASES.get(precision, precision)
    return Case.model_validate({**settings, "subject": subject, "implementation": resolved, "device": chosen})
