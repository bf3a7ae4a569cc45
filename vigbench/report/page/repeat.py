"""The command that measures one case again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from vigbench.report.rows import FLAGS, SHAPE, Row

CUSTOM_LIMIT_S = 300.0  # `vigbench run` without a suite: the case's and the run's time


def repeat_command(row: Row, run_info: Mapping[str, Any] | None = None) -> str:
    """The command line, quoted for a shell; it plans this one case and no other.

    `run_info` tells how the run sampled: several processes, calibrated, more time for a case than is usual.
    """
    return " ".join(
        ["vigbench run", subject_options(row), size_options(row), setting_options(row), run_options(run_info or {})]
    ).rstrip()


def subject_options(row: Row) -> str:
    """What is measured, and which code computes it."""
    return _options([("subject", row["subject"]), ("implementation", row["implementation"])])


def size_options(row: Row) -> str:
    """A model's resolution, an operator's length."""
    return _options([("length" if row["shape"] else "resolution", row["extent"])])


def setting_options(row: Row) -> str:
    """Every other setting; flags only where they are on, since off is the default."""
    options: list[tuple[str, object]] = []
    if row["shape"]:
        options.append(("shape", "x".join(str(row[name]) for name in SHAPE)))
    options += [(name, row[name]) for name in ("batch_size", "precision", "phase")]
    options += [(name, "true") for name in FLAGS if row[name]]
    if row["device"] == "cpu" and row["threads"]:
        options.append(("threads", row["threads"]))
    return _options([*options, ("device", row["device"])])


def run_options(run_info: Mapping[str, Any]) -> str:
    """How each case of the run was sampled, where that is not the default."""
    parts = []
    if (run_info.get("processes") or 1) > 1:
        parts.append(f"--processes {int(run_info['processes'])}")
    if run_info.get("calibrate"):
        parts.append("--calibrate")
    for option, key in (("case-timeout", "case_timeout_s"), ("budget", "budget_s")):
        limit = run_info.get(key) or 0
        if limit > CUSTOM_LIMIT_S:
            parts.append(f"--{option} {int(limit)}s")
    return " ".join(parts)


def _options(pairs: Sequence[tuple[str, object]]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in pairs if str(value))
