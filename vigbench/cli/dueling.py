"""`vigbench duel`: two subjects or implementations in interleaved blocks, one ratio with an interval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigbench.cli import one_case, options
from vigbench.cli.axes import AxisValues, one_value
from vigbench.cli.measuring import command_line
from vigbench.suites.axes import RUN_ALONE

if TYPE_CHECKING:
    from vigbench.suites.case import Case

Base = Annotated[str, typer.Argument(metavar="A", help="Subject, or subject@implementation.")]
Head = Annotated[str, typer.Argument(metavar="B", help="The same; the ratio is B / A.")]
Pairs = Annotated[int, typer.Option("--processes", help="Pairs of fresh processes.", min=1)]
Blocks = Annotated[int, typer.Option(help="Blocks of each side in a pair.", min=2)]
Over = Annotated[
    str | None,
    typer.Option(help="Spread the pairs over this time, e.g. 1h: the interval then holds more."),
]
Margin = Annotated[str, typer.Option(help="Smallest difference that matters, e.g. 3% or 0.03.")]
BasePython = Annotated[
    Path | None, typer.Option(help="Python of another environment, whose vigbench runs A: the same case in two builds.")
]
Out = Annotated[Path, typer.Option(help="Folder in which the duel's folder is made.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="The result alone.")]


@one_value(*RUN_ALONE)
def duel(
    a: Base,
    b: Head,
    axes: AxisValues = None,
    device: options.Device = "auto",
    threads: one_case.Threads = 0,
    processes: Pairs = 6,
    blocks: Blocks = 30,
    over: Over = None,
    margin: Margin = "3%",
    base_python: BasePython = None,
    out: Out = Path("results"),
    quiet: Quiet = False,
) -> int:
    """Which of two is faster here, and by how much? Randomised interleaved blocks over several pairs of processes.

    Exit codes: 0 done; 2 wrong input, or a contestant that cannot be timed; 130 interrupted.
    """
    share = options.share("--margin", margin)
    from vigbench.cli.duel_progress import DuelLines
    from vigbench.runner.duel import Contestant, Effort
    from vigbench.runner.duel_result import duel as run_duel

    base, head = (_case(text, device, axes or {}, threads) for text in (a, b))
    effort = Effort(processes, blocks, over_s=0.0 if over is None else options.duration_s("--over", over))
    result = run_duel(
        base,
        head,
        base_python=base_python,
        effort=effort,
        margin=share,
        out=out,
        command_line=command_line(),
        progress=DuelLines(quiet),
    )
    there = None if base_python is None else str(base_python)
    print(result.sentence(Contestant(base, there).label(), head.label()))
    return 0


def _case(text: str, device: str, axes: Mapping[str, Any], threads: int) -> Case:
    from vigbench.runner.case import create_case

    subject, _, implementation = text.partition("@")
    return create_case(subject, implementation=implementation, device=device, threads=threads, **axes)
