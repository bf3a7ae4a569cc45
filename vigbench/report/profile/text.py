"""What a profile's pictures and its printed summary say in words beside the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vigbench.analysis.table import printable
from vigbench.report.figures.text import shorten
from vigbench.report.metrics import number, percent
from vigbench.report.names import short_name
from vigbench.suites.arguments import with_args
from vigbench.suites.axes import ALL
from vigbench.suites.former_names import with_new_names

NOTICEABLE_LOAD = 0.2  # of the machine's CPU used by others
LONGEST_IN_TITLE = 240.0  # points, at the size of labels
SAME_COUNT = 1e-6  # of the multiply-adds
USUAL_SLOWDOWN = (0.9, 2.0)  # of iterations under the profiler against those without


def module_name(group: str) -> str:
    """A group of modules as a reader sees it; the model itself has no name."""
    return printable(group) or "(model itself)"


def name_in_title(name: str) -> str:
    """A name that fits into a line of a title."""
    return shorten(module_name(name), LONGEST_IN_TITLE)


def share_text(share: float) -> str:
    """A share as a percentage; below 1 percent with one digit more."""
    return percent(share) if share >= 0.0095 else f"{100 * share:.1f}%"


def is_on_device(info: Mapping[str, Any]) -> bool:
    """Whether times are those of kernels."""
    return bool(info["case"]["device"] == "cuda")


def time_name(info: Mapping[str, Any]) -> str:
    """What shares of time are shares of."""
    return "kernel time" if is_on_device(info) else "time"


def subtitle(info: Mapping[str, Any]) -> str:
    """Subject, size, batch, precision, phase and device of a profile."""
    case = info["case"]
    name = short_name(case["subject"])
    shown = name if name == case["subject"] else f"{name} ({case['subject']})"
    shown = with_args(shown, case.get("args", ""))
    implementation = "" if case["implementation"] == "default" else f", {case['implementation']}"
    size = f"{case['resolution']} px" if case["resolution"] else f"{case['length']} tokens"
    now = with_new_names(case)
    words = [axis.in_words(now.get(axis.name, axis.default)) for axis in ALL if not axis.of_size]
    parts = [size, *(word for word in words if word)]
    return printable(f"{shown}{implementation}; {', '.join(parts)}; {info['device_name']}; {info['started_at'][:10]}")


def uncounted(info: Mapping[str, Any]) -> list[str]:
    """What multiply-adds are missing: of operators without a formula, and of code that no operator call shows."""
    totals = info["totals"]
    lines = []
    if totals["uncounted_operators"]:
        calls = ", ".join(f"{printable(name)} ({count})" for name, count in totals["uncounted_operators"].items())
        lines.append(
            f"No formula gives the multiply-adds of {calls}: they count as 0. The rule covers the other "
            f"{percent(totals['flop_coverage'])} of the calls."
        )
    if totals["counted_gmacs"] < (1 - SAME_COUNT) * totals["gmacs"]:
        lines.append(
            f"The profile saw {number(totals['counted_gmacs'])} of the model's {number(totals['gmacs'])} GMACs: the "
            "rest is in what has no formula, or in compiled code, which calls no operators."
        )
    return lines


def disturbance(info: Mapping[str, Any]) -> list[str]:
    """How much profiling, and others on the machine, disturbed what was profiled."""
    totals = info["totals"]
    slowdown = totals["slowdown"]
    caution = (
        "Kernels take as long as without it, the gaps between them longer."
        if is_on_device(info)
        else "Read shares, not milliseconds; what calls many small operators is slowed down most."
    )
    lines = [
        f"A profiled iteration takes {number(totals['profiled_ms'])} ms, without the profiler "
        f"{number(totals['latency_ms'])} ms (95% interval {number(totals['latency_low_ms'])} to "
        f"{number(totals['latency_high_ms'])}): {slowdown:.2f} times as long. {caution}"
    ]
    load = max(totals["other_load"], totals["other_load_after"])
    if load > NOTICEABLE_LOAD:
        lines.append(f"Other processes used {percent(load)} of this machine's CPU: profile again when it is quiet.")
    elif not USUAL_SLOWDOWN[0] <= slowdown <= USUAL_SLOWDOWN[1]:
        lines.append(
            f"{slowdown:.2g} times as long is more than small operators explain unless there are thousands of them; "
            "something else may have used the machine: profile again and compare."
            if slowdown > 1
            else "It was slower without the profiler, so something else used the machine: profile again."
        )
    if totals["device_busy_share"] is not None:
        waiting = 1 - totals["device_busy_share"]
        lines.append(f"Launch-bound share: no kernel runs in {percent(waiting)} of the time without the profiler.")
    else:
        lines.append(
            f"Outside operators pass {percent(totals['outside_operators_share'])} of the profiled time: Python and "
            "dispatch between them, the ranges of the modules included."
        )
    return lines
