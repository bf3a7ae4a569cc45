"""`vigbench scaling`: how runs grow with resolution or length, who overtakes whom, what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigbench.cli import options, rank_scaling

if TYPE_CHECKING:
    import pandas as pd

Runs = Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="Runs' folders, or quoted patterns of them.")]
Metric = Annotated[str, typer.Option(help="latency_ms, kernel_ms, peak_memory_mib or activation_memory_mib.")]
Against = Annotated[
    str | None, typer.Option(help="Only crossovers with this: subject, subject@implementation, or a glob.")
]
Memory = Annotated[
    str | None, typer.Option(help="Memory to fill, e.g. 16GiB; default: the GPU's, on a CPU what was free.")
]
Format = Annotated[str, typer.Option("--format", help="table, markdown, csv (the laws alone) or json.")]
Out = Annotated[Path | None, typer.Option(help="File to write to; default: the terminal.")]


def scaling(
    runs: Runs = None,
    metric: Metric = "latency_ms",
    against: Against = None,
    memory: Memory = None,
    ranks: rank_scaling.Ranks = None,
    bandwidth: rank_scaling.Bandwidth = "25,200",
    step_us: rank_scaling.StepUs = 10.0,
    length: rank_scaling.Length = None,
    time: rank_scaling.Time = None,
    shape: rank_scaling.Shape = "3x32x64",
    precision: rank_scaling.Precision = "float32",
    phase: rank_scaling.Phase = "inference",
    form: Format = "table",
    csv_dialect: options.CsvDialect = "standard",
    out: Out = None,
) -> None:
    """Fit how a metric grows with tokens: exponents, crossovers, the next size, the largest resolution that fits.

    With --ranks: what gated linear attention's time on one device becomes on several, on paper. Intervals are 95%.

    Exit codes: 0 done; 2 wrong input.
    """
    render = options.one_of_names("--format", form, ("table", "markdown", "csv", "json"))
    for_spreadsheets = options.is_for_spreadsheets(csv_dialect, render, to_terminal=out is None)
    times = rank_scaling.given_times(time, shape, precision, phase)
    if times and (runs or ranks is None):
        raise ValueError("--time stands for runs, and belongs to --ranks: give it with that, and without a run.")
    if not times and not runs:
        raise ValueError("Name a run, such as results/<run>; or give --ranks and a time, --time 65536=12.5.")
    if ranks is not None:
        over = rank_scaling.scaled_over_ranks(runs or [], metric, ranks, bandwidth, step_us, length, times)
        from vigbench.analysis.rank_scaling_text import FORMATS as OF_RANKS
        from vigbench.records.spreadsheet import spreadsheet

        options.write_or_print("--out", out, spreadsheet(over) if for_spreadsheets else OF_RANKS[render](over))
        return
    assert runs, "checked above"
    given = None if memory is None else options.memory_mib("--memory", memory)

    from vigbench.analysis.scaling import fit_scaling
    from vigbench.analysis.scaling_text import FORMATS, Scaling
    from vigbench.records.load import load_results
    from vigbench.records.spreadsheet import spreadsheet

    frame = load_results(runs)
    laws = fit_scaling(frame, metric)
    if for_spreadsheets:
        options.write_or_print("--out", out, spreadsheet(laws))
        return
    capacity, why = _capacity(frame, runs, given)
    options.write_or_print(
        "--out", out, FORMATS[render](Scaling(laws, _crossovers(frame, metric, against), capacity, why))
    )


def _crossovers(frame: pd.DataFrame, metric: str, against: str | None) -> pd.DataFrame:
    import pandas as pd

    from vigbench.analysis.crossovers import crossovers

    if against is None:
        return crossovers(frame, metric)
    sides = [crossovers(frame, metric, a=against), crossovers(frame, metric, b=against)]
    # row by row: pandas 2.1 warns when it concatenates columns that are empty on one side
    rows = [row for side in sides for row in side.to_dict("records")]
    return pd.DataFrame(rows, columns=sides[0].columns).drop_duplicates(ignore_index=True)


def _capacity(frame: pd.DataFrame, runs: Sequence[str], given: float | None) -> tuple[pd.DataFrame | None, str]:
    """The largest resolutions, or why there are none."""
    from vigbench.analysis.capacity import device_memory_mib, largest_resolution
    from vigbench.records.load import find_runs

    if frame["resolution"].isna().all():
        return None, ""
    if given is not None:
        return largest_resolution(frame, given), ""
    known: dict[str, float] = {}
    for pattern in runs:
        for store in find_runs(pattern):
            if (memory := device_memory_mib(store.info())) is not None:
                known[store.folder.name] = memory
    unsaid = sorted(set(frame["run"]) - set(known))
    if unsaid:
        return None, f"{unsaid[0]} does not say how much memory its device has; give --memory, e.g. --memory 16GiB."
    return largest_resolution(frame, known), ""
