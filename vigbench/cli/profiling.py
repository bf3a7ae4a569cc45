"""`vigbench profile`: where the time and the memory of one subject go, against this device's ceilings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigbench.cli import one_case, options
from vigbench.cli.axes import AxisValues, one_value
from vigbench.cli.measuring import command_line
from vigbench.suites.axes import RUN_ALONE
from vigbench.tabulate import aligned

if TYPE_CHECKING:
    from vigbench.records.profile import ProfileRecord

Subject = Annotated[str, typer.Option(help="A model, package.module:factory, or an operator such as gla.")]
Implementation = Annotated[str | None, typer.Option(help="Which code computes its operator, e.g. eager.")]
Iterations = Annotated[int, typer.Option(help="Profiled iterations.", min=1, max=100)]
Out = Annotated[Path, typer.Option(help="Folder in which the profile's folder is made.")]
ROWS = 10
HEADS = ("module", "share", "ms", "with inner ms", "peak MiB")
FLOOR_HEADS = ("operator", "share", "ms", "floor ms", "times its floor", "bound by")


@one_value("compile", "cuda_graph", *RUN_ALONE)
def profile(
    subject: Subject,
    implementation: Implementation = None,
    axes: AxisValues = None,
    device: options.Device = "auto",
    threads: one_case.Threads = 0,
    iterations: Iterations = 5,
    out: Out = Path("results"),
) -> None:
    """Where do time and memory go? By module, operator and kernel, with a trace, a memory timeline and a roofline.

    Exit codes: 0 done; 2 wrong input, or a subject that cannot be profiled; 130 interrupted.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is there: its profiler writes to the terminal
    from vigbench.runner.case import create_case
    from vigbench.runner.profile import profile_subject

    case = create_case(subject, implementation=implementation or "", device=device, threads=threads, **(axes or {}))
    found = profile_subject(
        case, iterations=iterations, out=out, command_line=command_line(), on_stage=_say_on_terminal
    )
    _say_on_terminal("pictures")
    from vigbench.report.profile import plot_profile

    plot_profile(found.folder)
    _clear_line()
    print("\n".join(summary(found.record, found.folder)))


def summary(record: ProfileRecord, folder: Path) -> list[str]:
    """What is printed: the largest groups of modules and operators, what disturbed, what is not counted, the words."""
    from vigbench.report.profile.modules import largest_groups
    from vigbench.report.profile.text import disturbance, module_name, uncounted

    groups = largest_groups(record.modules)[:ROWS]
    rows = [
        (
            module_name(group.group),
            f"{group.share:.1%}",
            f"{group.self_ms:.2f}",
            f"{group.total_ms:.2f}",
            f"{group.peak_growth_mib:.2f}",
        )
        for group in groups
    ]
    lines = [f"{record.info['label']} on {record.info['device_name']}", aligned([HEADS, *rows], right=range(1, 5))]
    words = [f"{number}. {sentence}" for number, sentence in enumerate(record.info["words"], 1)]
    lines += ["", aligned([FLOOR_HEADS, *floor_rows(record)], right=range(1, 5))]
    return [*lines, "", *disturbance(record.info), *uncounted(record.info), "", *words, "", f"Profile: {folder}"]


def floor_rows(record: ProfileRecord) -> list[tuple[str, ...]]:
    """The operators that take most of the time, of all modules together, and what they take at least on this device."""
    from vigbench.report.profile.points import by_operator

    return [
        (
            one.label,
            f"{one.share:.1%}",
            f"{one.ms:.2f}",
            f"{one.floor_ms:.3f}" if one.floor_ms else "",
            f"{one.ms / one.floor_ms:.1f}" if one.floor_ms else "",
            one.bound,
        )
        for one in by_operator(record.costs)[:ROWS]
    ]


def _say_on_terminal(stage: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{stage} ...", end="", file=sys.stderr, flush=True)


def _clear_line() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
