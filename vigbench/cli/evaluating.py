"""`vigbench evaluate`: top-1 and top-5 accuracy of a checkpoint over resolutions."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from vigbench.cli import one_case, options
from vigbench.cli.measuring import command_line
from vigbench.tabulate import aligned

if TYPE_CHECKING:
    from vigbench.records.accuracy import AccuracyRow

Subject = Annotated[str, typer.Option(help="A model's name, or package.module:factory.")]
Checkpoint = Annotated[Path, typer.Option(help="Its weights: a PyTorch checkpoint (plain tensors) or .safetensors.")]
Data = Annotated[Path, typer.Option(help="Folder with a folder of images for each class, as ImageNet's val.")]
Resolution = Annotated[str, typer.Option(help="Input sizes in px, e.g. 224,384,512,1024.")]
BatchSize = Annotated[int, typer.Option(help="Images that the model is given at once.", min=1)]
OneImplementation = Annotated[str, typer.Option(help="Code of the subject's operator; default: what users get.")]
Workers = Annotated[int | None, typer.Option(help="Processes that read images; default: 0 on CPU, 4 on CUDA.", min=0)]
CropPct = Annotated[
    float | None,
    typer.Option(help="Side of the crop over the image's resized shorter side, e.g. 0.875; default: the model's."),
]
Interpolation = Annotated[str | None, typer.Option(help="Of the resizing, e.g. bicubic; default: the model's.")]
ClassMap = Annotated[
    Path | None, typer.Option(help="Text file with a class name a line, in the order of the model's outputs.")
]
Ema = Annotated[bool, typer.Option(help="Prefer the weights' moving average where the checkpoint has one, as timm.")]
Tf32 = Annotated[bool, typer.Option("--tf32", help="Allow TF32 for float32 matrix products on CUDA.")]
Out = Annotated[Path, typer.Option(help="Folder in which the evaluation's folder is made.")]
Resume = Annotated[Path | None, typer.Option(help="Continue this folder, with otherwise the same options.")]
BatchTimeout = Annotated[str, typer.Option(help="Time limit of a batch, e.g. 10m; what takes longer is ended.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="One plain line a resolution, for logs.")]

NOTICE = b"Finishing this batch, then stopping; press Ctrl-C again to stop now.\n"


def evaluate(
    subject: Subject,
    checkpoint: Checkpoint,
    data: Data,
    resolution: Resolution = "224",
    batch_size: BatchSize = 64,
    precision: one_case.Precision = "float32",
    implementation: OneImplementation = "",
    device: options.Device = "auto",
    threads: one_case.Threads = 0,
    batch_timeout: BatchTimeout = "30m",
    workers: Workers = None,
    crop_pct: CropPct = None,
    interpolation: Interpolation = None,
    class_map: ClassMap = None,
    ema: Ema = True,
    tf32: Tf32 = False,
    out: Out = Path("results"),
    resume: Resume = None,
    quiet: Quiet = False,
) -> int:
    """Top-1 and top-5 accuracy of a checkpoint on a folder of images, over resolutions, with timm's transforms.

    Each prediction is kept as soon as its batch is computed; with --resume only what is missing is computed, and the
    batch size and the workers may be others.

    Exit codes: 0 done; 2 wrong input; 130 interrupted.
    """
    sides = options.listed("--resolution", resolution, "value")
    resolutions = [options.whole_number("--resolution", text) for text in sides]
    precision = options.precision_name("--precision", precision)
    batch_timeout_s = options.duration_s("--batch-timeout", batch_timeout)

    from vigbench.cli.progress import show_evaluation
    from vigbench.interrupt import StopRequest
    from vigbench.runner.evaluate import evaluate as compute

    with show_evaluation(quiet) as progress:
        try:
            found = compute(
                subject,
                checkpoint,
                data,
                resolutions=resolutions,
                implementation=implementation,
                device=device,
                precision=precision,
                tf32=tf32,
                threads=threads,
                crop_pct=crop_pct,
                interpolation=interpolation,
                class_map=class_map,
                ema=ema,
                batch_size=batch_size,
                batch_timeout_s=batch_timeout_s,
                workers=workers,
                out=out,
                resume=resume,
                command_line=command_line(),
                progress=progress,
                stop=StopRequest(_notice),
            )
            finished = found.finished
        except KeyboardInterrupt:
            if progress.folder is None:
                raise
            finished = False
    if not finished:
        assert progress.folder is not None
        print(f"Interrupted; nothing computed is lost. Continue with: {_again(progress.folder)}", file=sys.stderr)
        return 130
    print(table(found.rows))
    print(f"Accuracy: {found.folder / 'accuracy.csv'}")
    return 0


def _notice() -> None:
    os.write(2, NOTICE)  # not print(): the signal may have come in the middle of one


def _again(folder: Path) -> str:
    """The command that continues: this one, with the folder."""
    words = iter(command_line())
    kept = []
    for word in words:
        if word == "--resume":
            next(words, None)
        elif not word.startswith("--resume="):
            kept.append(word)
    return " ".join(quote(word) for word in [*kept, "--resume", str(folder)])


def table(rows: Sequence[AccuracyRow]) -> str:
    """The result for people."""
    heads = ("resolution", "top-1 (95% interval)", "top-5", "images")
    cells = [
        (
            f"{row.resolution} px",
            f"{row.top1_percent:.2f}% ({row.top1_low_percent:.2f} to {row.top1_high_percent:.2f})",
            "" if row.top5_percent is None else f"{row.top5_percent:.2f}%",
            str(row.images),
        )
        for row in rows
    ]
    notes = [
        f"{row.not_finite_images} of the images of {row.resolution} px have logits that are not finite and count as "
        "wrong; try --precision float32."
        for row in rows
        if row.not_finite_images
    ]
    return "\n".join([aligned([heads, *cells], right=range(4)), *notes])
