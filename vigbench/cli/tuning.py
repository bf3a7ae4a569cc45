"""`vigbench tune`: the fastest kernel settings for this GPU, kept in the table that measured cases look them up in."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigbench.cli.options import head_shape, listed, one_of_names, precision_name, whole_number

if TYPE_CHECKING:
    from vigbench.runner.tune import Found
    from vigbench.worker.workload import Workload

Shapes = Annotated[str, typer.Option(help="heads x key_dim x value_dim, comma-separated.")]
Lengths = Annotated[str, typer.Option(help="Tokens; each stands for its range of lengths.")]
Precisions = Annotated[str, typer.Option(help="bfloat16, float16, float32.")]
Passes = Annotated[str, typer.Option("--pass", help="forward, backward.")]
BatchSize = Annotated[int, typer.Option(help="Sequences in a call.", min=1)]
Out = Annotated[Path | None, typer.Option(help="The table to add to; by default the one in the package.")]
Again = Annotated[bool, typer.Option("--again", help="Also what the table has already.")]


def tune(
    shape: Shapes = "3x32x64,3x16x32",
    length: Lengths = "256,1024,4096,16384",
    precision: Precisions = "bfloat16",
    passes: Passes = "forward,backward",
    batch_size: BatchSize = 32,
    out: Out = None,
    again: Again = False,
) -> None:
    """Find the fastest settings of the Triton kernels on this GPU, and keep them.

    What is found is written after every workload: an interrupted run goes on where it was. The package's own table is
    what every later run uses; commit it, or send it in, for others with this GPU.
    """
    import torch

    from vigbench.measure.environment import describe_environment
    from vigbench.ops.capability import capability_of
    from vigbench.ops.gla.kernels import settings as kernel_settings
    from vigbench.records.files import read_text, write_atomically
    from vigbench.runner.check import unchecked_line
    from vigbench.runner.tune import tune as find

    workloads = _workloads(shape, length, precision, passes, batch_size)
    if not torch.cuda.is_available():
        raise ValueError("No CUDA device is visible: kernels are tuned on the GPU that will run them.")
    device = torch.device("cuda", torch.cuda.current_device())
    capability = capability_of(device)
    path = out or kernel_settings.TABLE
    rows = kernel_settings.parse_rows(read_text(path)) if path.exists() else {}
    open_workloads = [workload for workload in workloads if again or workload.key(capability) not in rows]
    print(f"{len(workloads) - len(open_workloads)} of {len(workloads)} are in {path} already; --again repeats them.")
    environment = describe_environment("cuda", 0)
    wanted = {f"gla/triton_fused/{workload.precision}" for workload in workloads}
    if line := unchecked_line(torch.cuda.get_device_name(device), environment, wanted):
        print(line)
    for workload, found in find(open_workloads, device):
        print(f"{workload.label()}: {_outcome(found)}", flush=True)
        if found is None:
            continue
        measured = {
            "device": torch.cuda.get_device_name(device),
            "torch": torch.__version__,
            "batch_size": workload.batch_size,
            "heads": workload.heads,
            "tokens": workload.length,
            "default_ms": round(1e3 * found.default_s, 5),
            "best_ms": round(1e3 * found.best_s, 5),
        }
        rows[workload.key(capability)] = kernel_settings.TunedRow(found.settings, measured)
        write_atomically(path, kernel_settings.format_rows(rows))


def _outcome(found: Found | None) -> str:
    if found is None:
        return "the default settings do not run here, nothing to start from"
    gain = found.default_s / found.best_s
    return f"{1e3 * found.best_s:.4f} ms, {gain:.2f}x the default's speed, {found.tried} tried"


def _workloads(shape: str, length: str, precision: str, passes: str, batch_size: int) -> list[Workload]:
    from vigbench.worker.workload import Workload

    found = product(
        [head_shape("--shape", text) for text in listed("--shape", shape, "value")],
        [precision_name("--precision", text) for text in listed("--precision", precision, "value")],
        [whole_number("--length", text) for text in listed("--length", length, "value")],
        [one_of_names("--pass", text, ("forward", "backward")) for text in listed("--pass", passes, "value")],
    )
    return [Workload(name, *dims, n, batch_size, pass_) for dims, name, n, pass_ in found]  # type: ignore[arg-type]
