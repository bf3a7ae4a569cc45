"""The command that measures one case again, in pieces: many cases share them, and the page's script joins them.

`vigbench run <subject> <size option> <size> <setting> <run>`
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from vigbench.report.names import Info
from vigbench.report.rows import SETTINGS, SHAPE, Row, Setting

ALWAYS = ("batch_size", "precision", "phase")
OTHERS = [axis for axis in SETTINGS if axis.swept and axis.name not in ALWAYS]
CUSTOM_LIMIT_S = 300.0  # `vigbench run` without a suite: the case's and the run's time


def subject_options(row: Row) -> str:
    """What is measured, and which code computes it; empty where only a suite can say it."""
    if row["args"]:
        return ""
    return _options([("subject", row["subject"]), ("implementation", row["implementation"])])


def size_option(setting: Setting) -> str:
    """What the case's resolution or length comes after."""
    return "--length" if setting.shape else "--resolution"


def setting_options(row: Row) -> str:
    """All that is neither subject nor size; others only where they are not the default."""
    options: list[tuple[str, object]] = []
    if row["shape"]:
        options.append(("shape", "x".join(str(row[name]) for name in SHAPE)))
    options += [(name, row[name]) for name in ALWAYS]
    options += [(axis.name, _value(row[axis.name])) for axis in OTHERS if row[axis.name] not in ("", axis.default)]
    if row["device"] == "cpu" and row["threads"]:
        options.append(("threads", row["threads"]))
    return _options([*options, ("device", row["device"])])


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def run_options(run_info: Info) -> str:
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
