"""`vigbench duel`: two subjects or implementations in interleaved blocks, one ratio with an interval."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigbench.cli import options
from vigbench.cli.measuring import command_line

if TYPE_CHECKING:
    from vigbench.runner.duel import Contestant, Effort
    from vigbench.runner.duel_result import Result
    from vigbench.stats.hierarchical import Estimate
    from vigbench.suites.case import Case

Base = Annotated[str, typer.Argument(metavar="A", help="Subject, or subject@implementation.")]
Head = Annotated[str, typer.Argument(metavar="B", help="The same; the ratio is B / A.")]
Resolution = Annotated[int | None, typer.Option(help="Models: input size in px; default: 224.", min=1)]
Length = Annotated[int | None, typer.Option(help="Operators: tokens of a sequence.", min=1)]
Shape = Annotated[str | None, typer.Option(help="Operators: heads x key_dim x value_dim, e.g. 3x32x64.")]
BatchSize = Annotated[int, typer.Option(help="Images (operators: sequences) per iteration.", min=1)]
OnePrecision = Annotated[str, typer.Option(help="float32, bfloat16, float16 (or fp32, bf16, fp16).")]
OnePhase = Annotated[str, typer.Option(help="inference, training or training_step.")]
Flag = Annotated[bool, typer.Option()]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 = one per physical core.", min=0)]
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


def duel(
    a: Base,
    b: Head,
    resolution: Resolution = None,
    length: Length = None,
    shape: Shape = None,
    batch_size: BatchSize = 1,
    precision: OnePrecision = "float32",
    phase: OnePhase = "inference",
    device: options.Device = "auto",
    compile: Flag = False,  # noqa: A002  the axis is called so
    cuda_graph: Flag = False,
    channels_last: Flag = False,
    tf32: Flag = False,
    threads: Threads = 0,
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

    settings = {
        **_extent(resolution, length, shape),
        "batch_size": batch_size,
        "precision": precision,
        "phase": phase,
        "compile": compile,
        "cuda_graph": cuda_graph,
        "channels_last": channels_last,
        "tf32": tf32,
        "threads": threads,
    }
    base = Contestant(_case(a, device, settings), None if base_python is None else str(base_python))
    head = Contestant(_case(b, device, settings))
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


def _extent(resolution: int | None, length: int | None, shape: str | None) -> dict[str, int]:
    """The settings of a case that say how large it is."""
    if length is None and shape is None:
        return {"resolution": 224 if resolution is None else resolution}
    if length is None or shape is None or resolution is not None:
        raise ValueError("Give models --resolution, or operators both --length and --shape.")
    return {"length": length, **options.head_shape("--shape", shape)._asdict()}


def _case(text: str, device: str, settings: dict[str, object]) -> Case:
    from vigbench.models.catalog import require_its_kind, resolve_implementations
    from vigbench.models.own import require_buildable
    from vigbench.runner.run import choose_device
    from vigbench.suites.case import Case

    subject, _, implementation = text.partition("@")
    chosen = choose_device(device)
    require_its_kind(subject, as_operator="length" in settings)
    if isinstance(resolution := settings.get("resolution"), int):
        require_buildable(subject, [resolution])
    (resolved,) = resolve_implementations(subject, [implementation] if implementation else [], chosen)
    checked = {
        "precision": options.precision_name("--precision", str(settings["precision"])),
        "phase": options.phase_name("--phase", str(settings["phase"])),
    }
    return Case.model_validate(
        {**settings, **checked, "subject": subject, "implementation": resolved, "device": chosen}
    )
