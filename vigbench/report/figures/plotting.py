"""Pictures from a frame, for notebooks and papers: the report's own, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from vigbench.analysis.table import printable
from vigbench.nearest import did_you_mean, one_of
from vigbench.report.curves import panels, readable
from vigbench.report.figures.curves import curve_cells
from vigbench.report.figures.scatter import HEIGHT, Spot, draw_scatter
from vigbench.report.figures.sheet import Cell, compose, look
from vigbench.report.metrics import PLOTTED
from vigbench.report.names import labels, short_name, size_of
from vigbench.report.rows import read_cases
from vigbench.report.sentences.captions import Caption, curve_caption
from vigbench.report.sentences.runs import source

WIDTH = 620.0  # points, across a page


def plot_curves(
    frame: pd.DataFrame, metric: str = "latency_ms", *, title: str | None = None, width: float = WIDTH
) -> Figure:
    """Draw one metric over resolution (operators: over length): a line for each subject, a panel for each setting.

    Args:
        frame: of `load_results`, or read from a `records.csv` by pandas; leave rows out to leave curves out.
        metric: a plotted column, such as latency_ms, activation_memory_mib or gmacs.
        title: instead of the finding that the numbers make.
        width: of the picture in points, 72 to an inch.

    Raises:
        ValueError: if there is no such metric, or the frame has no value of it.
    """
    known = {plotted.column: plotted for plotted in PLOTTED}
    if metric not in known:
        near = did_you_mean(metric, known)
        raise ValueError(f"There is no plot of {metric!r}{near} Choose {one_of(known)}.")
    every = panels(read_cases(_required(frame, ("subject", "status"))), known[metric])
    if not every:
        raise ValueError(f"The frame has no value of {metric}: {len(frame)} rows, none of them with one.")
    drawn = readable(every)
    caption = curve_caption(known[metric], every, drawn, _source(frame))
    with look(text_as_paths=False):
        return compose(curve_cells(known[metric], drawn), width, replace(caption, title=title or caption.title))


def plot_scatter(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    title: str,
    names: Sequence[str] = ("", ""),
    width: float = WIDTH,
) -> Figure:
    """Draw one number against another: a dot for each row, coloured by family, with its name where there is room.

    Args:
        frame: of `load_results`, maybe merged with other columns such as those of `published_values`. Rows that lack a
            number are left out.
        x, y: columns; x is logarithmic where it spans more than a factor of eight.
        title: what the picture shows.
        names: of the axes with their units; default: the columns' names.
        width: of the picture in points.

    Raises:
        ValueError: if a column is not there, or no row has both numbers.
    """
    frame = _required(frame, (x, y, "subject")).dropna(subset=[x, y])
    if frame.empty:
        raise ValueError(f"No row of the frame has both {x} and {y}.")
    rows = [
        {"implementation": "", "family": "other", **{str(key): value for key, value in row.items()}}
        for row in frame.to_dict("records")
    ]
    label = labels((row["subject"], row["implementation"]) for row in rows)
    spots = [
        Spot(
            float(row[x]),
            float(row[y]),
            label[row["subject"], row["implementation"]],
            str(row["family"]),
            size_of(row["subject"]),
        )
        for row in rows
    ]
    axes_names = tuple(given or column for given, column in zip(names, (x, y), strict=True))
    cell = Cell("", lambda _: HEIGHT, partial(draw_scatter, spots, axes_names))
    with look(text_as_paths=False):
        return compose([cell], width, Caption(title, _source(frame)))


def published_values() -> pd.DataFrame:
    """What papers and repositories publish for the models of suite backbones-224, DiG, DiT, GLIMS and Swin UNETR.

    Returns:
        One row for each model and size, of which Swin UNETR alone has two: `subject`, `name`, `published_resolution`
        (px), `published_params_m` (millions), `published_gmacs` (10^9 multiply-adds, by the source's own way of
        counting) and `published_top1_percent` (ImageNet-1K).
    """
    from vigbench.published import all_published

    rows = [
        {
            "subject": model.subject,
            "name": short_name(model.subject),
            "published_resolution": model.resolution,
            "published_params_m": _number(model.params_m),
            "published_gmacs": _number(model.gmacs),
            "published_top1_percent": _number(model.top1),
        }
        for model in all_published()
    ]
    return pd.DataFrame(rows)


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _required(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(f"The frame has no column {one_of(missing)}; pass one from vigbench.load_results.")
    return frame


def _source(frame: pd.DataFrame) -> str:
    """Device and run, as far as the frame names them: a CSV file does not."""
    if not {"run", "device_name"} <= set(frame.columns):
        return ""
    pairs = frame[["run", "device_name"]].drop_duplicates().to_dict("records")
    return printable(source([{str(key): value for key, value in pair.items()} for pair in pairs]))
