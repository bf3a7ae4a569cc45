"""`vigbench duel`: two subjects or implementations in interleaved blocks, one ratio with an interval."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigbench.cli import one_case, options
from vigbench.cli.axes import AxisValues, one_value
from vigbench.cli.measuring import command_line

if TYPE_CHECKING:
    from vigbench.runner.duel import Contestant, Effort
    from vigbench.runner.duel_result import Result
    from vigbench.stats.hierarchical import Estimate
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


@one_value()
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
    from vigbench.runner.duel import Contestant, Effort

    base = Contestant(_contestant(a, device, axes or {}, threads), None if base_python is None else str(base_python))
    head = Contestant(_contestant(b, device, axes or {}, threads))
    effort = Effort(processes, blocks, over_s=0.0 if over is None else options.duration_s("--over", over))
    result, _ = run_and_keep(base, head, effort, share, out, quiet)
    print(result.sentence(base.label(), head.label()))
    return 0


def run_and_keep(
    base: Contestant, head: Contestant, effort: Effort, margin: float, out: Path, quiet: bool
) -> tuple[Result, Estimate]:
    """Run a duel with a line of progress for each pair, and keep every timed call on the disk.

    Returns:
        The result, and the logarithm of its ratio.
    """
    from vigbench.runner.duel import run_duel
    from vigbench.runner.duel_result import DuelFolder, Result, log_ratio_of

    folder = DuelFolder(out, base, head, effort, command_line())
    for name, (there, here) in folder.differences.items():
        print(
            f"vigbench: the two environments differ in {name}: {there or 'none'} and {here or 'none'}", file=sys.stderr
        )
    pairs = []
    for pair in run_duel(base, head, effort):
        folder.keep(pair)
        pairs.append(pair)
        if not quiet:
            so_far = Result.of(pairs, base.case.device, margin)
            print(f"[{len(pairs)}/{effort.processes}] ratio {so_far.ratio:.3f} ({so_far.low:.3f} to {so_far.high:.3f})")
    result = Result.of(pairs, base.case.device, margin)
    folder.finish(result)
    if not quiet:
        print(f"Calls: {folder.folder / 'blocks.csv'}")
    return result, log_ratio_of(pairs, base.case.device)


def _contestant(text: str, device: str, axes: Mapping[str, Any], threads: int) -> Case:
    subject, _, implementation = text.partition("@")
    return one_case.make_case(subject, implementation, device, axes, threads)
