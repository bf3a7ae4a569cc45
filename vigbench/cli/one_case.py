"""Options that say one case, for the commands that look at one, and the case that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vigbench.cli import options

if TYPE_CHECKING:
    from vigbench.suites.case import Case

Resolution = Annotated[int | None, typer.Option(help="Models: input size in px; default: 224.", min=1)]
Length = Annotated[int | None, typer.Option(help="Operators: tokens of a sequence.", min=1)]
Shape = Annotated[str | None, typer.Option(help="Operators: heads x key_dim x value_dim, e.g. 3x32x64.")]
BatchSize = Annotated[int, typer.Option(help="Images (operators: sequences) per iteration.", min=1)]
Precision = Annotated[str, typer.Option(help="float32, bfloat16, float16 (or fp32, bf16, fp16).")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 = one per physical core.", min=0)]
Flag = Annotated[bool, typer.Option()]


def extent(resolution: int | None, length: int | None, shape: str | None) -> dict[str, int]:
    """The settings of a case that say how large it is."""
    if length is None and shape is None:
        return {"resolution": 224 if resolution is None else resolution}
    if length is None or shape is None or resolution is not None:
        raise ValueError("Give models --resolution, or operators both --length and --shape.")
    return {"length": length, **options.head_shape("--shape", shape)._asdict()}


def make_case(subject: str, implementation: str, device: str, settings: dict[str, object]) -> Case:
    """The case of a subject that is there, with the implementation that is named, or that users get by default.

    Raises:
        ValueError: for a subject, implementation, device or setting that is none, with advice.
    """
    from vigbench.runner.case import create_case

    checked = {
        "precision": options.precision_name("--precision", str(settings["precision"])),
        "phase": options.phase_name("--phase", str(settings["phase"])),
    }
    return create_case(subject, implementation=implementation, device=device, **{**settings, **checked})
