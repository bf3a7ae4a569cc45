"""The files of an evaluation: `accuracy.json` (what, how, where), `accuracy.csv`, `predictions-<resolution>.csv`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vigbench.records.tables import csv_text, read_csv

INFO_FILE = "accuracy.json"
TABLE_FILE = "accuracy.csv"
FORMAT = 1  # of all three files
RANKS = 5
COLUMNS = ("image", "label", *(f"rank{rank}" for rank in range(1, RANKS + 1)))
HEADER = csv_text(COLUMNS, ())


@dataclass(frozen=True)
class Prediction:
    """What a model said about one image.

    Attributes:
        image: its path below the data's folder, with slashes.
        label: index of its class.
        ranks: indices of the classes by falling logit, at most 5; none if a logit was not finite.
    """

    image: str
    label: int
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class AccuracyRow:
    """A line of `accuracy.csv`: one finished resolution. Shares in percent, with Wilson's 95% interval.

    Attributes:
        resolution: side of the images in px.
        images: their number.
        top1_percent: images whose first-ranked class is the label.
        top5_percent: images whose label is among the five first-ranked classes; None with 5 classes or fewer.
        not_finite_images: images with a logit that is not finite; they count as wrong.
    """

    resolution: int
    images: int
    top1_percent: float
    top1_low_percent: float
    top1_high_percent: float
    top5_percent: float | None
    top5_low_percent: float | None
    top5_high_percent: float | None
    not_finite_images: int


@dataclass(frozen=True)
class Accuracy:
    """An evaluation as its folder holds it.

    Attributes:
        folder: where.
        info: `accuracy.json`.
        rows: finished resolutions, smallest first.
    """

    folder: Path
    info: dict[str, Any]
    rows: tuple[AccuracyRow, ...]

    @property
    def subject(self) -> str:
        """What was evaluated."""
        return str(self.info["settings"]["subject"])

    @property
    def finished(self) -> bool:
        """Whether every resolution asked for is there."""
        return self.info.get("finished_at") is not None

    def at(self, resolution: int) -> AccuracyRow | None:
        """The row of a resolution; None if that is not finished, or was not asked for."""
        return next((row for row in self.rows if row.resolution == resolution), None)


def predictions_name(resolution: int) -> str:
    """The file with the predictions at a resolution."""
    return f"predictions-{resolution}.csv"


def prediction_lines(predictions: Iterable[Prediction]) -> str:
    """CSV lines without the header; ranks that there are not stay empty."""
    return csv_text(
        COLUMNS,
        ((row.image, row.label, *row.ranks, *[""] * (RANKS - len(row.ranks))) for row in predictions),
        header=False,
    )


def parse_prediction(line: str) -> Prediction:
    """One line of `prediction_lines`. ValueError if it is none."""
    try:
        (cells,) = csv.reader(io.StringIO(line), strict=True)
    except csv.Error as error:
        raise ValueError(f"{line!r} is no line of CSV: {error}") from error
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} cells are not {len(COLUMNS)}")
    image, label, *ranks = cells
    return Prediction(image, int(label), tuple(int(rank) for rank in ranks if rank))


def read_predictions(folder: str | Path, resolution: int) -> list[Prediction]:
    """What was predicted at a resolution, in the order of the images; empty if there is no such file.

    Raises:
        ValueError: if the file is damaged; the message names file and line.
    """

    def parse(row: dict[str, str]) -> Prediction:
        ranks = (row[name] for name in COLUMNS[2:])
        return Prediction(row["image"], int(row["label"]), tuple(int(rank) for rank in ranks if rank))

    return read_csv(Path(folder) / predictions_name(resolution), parse)


def accuracy_csv(rows: Sequence[AccuracyRow]) -> str:
    """The text of `accuracy.csv`; what does not apply stays empty."""
    names = [field.name for field in fields(AccuracyRow)]
    return csv_text(names, (["" if cell is None else cell for cell in asdict(row).values()] for row in rows))


def read_accuracy(folder: str | Path) -> Accuracy:
    """Read an evaluation, finished or not.

    Raises:
        ValueError: if the folder is none, was made by a later version, or a file is damaged; the message says which.
    """
    folder = Path(folder)
    file = folder / INFO_FILE
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{folder} holds no {INFO_FILE}: name a folder that vigbench evaluate has made, results/accuracy-..."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged: {error}. Evaluate again into a new folder.") from error
    if not isinstance(info, dict) or "format" not in info or not isinstance(info.get("settings"), dict):
        raise ValueError(f"{file} does not describe an evaluation; name a folder that vigbench evaluate has made.")
    if info["format"] != FORMAT:
        raise ValueError(f"{file} has format {info['format']}, this version reads {FORMAT}: update vigbench.")
    return Accuracy(folder, info, tuple(sorted(read_csv(folder / TABLE_FILE, _row), key=lambda row: row.resolution)))


def _row(cells: dict[str, str]) -> AccuracyRow:
    def percent(name: str) -> float | None:
        return float(cells[name]) if cells[name] else None

    return AccuracyRow(
        resolution=int(cells["resolution"]),
        images=int(cells["images"]),
        top1_percent=float(cells["top1_percent"]),
        top1_low_percent=float(cells["top1_low_percent"]),
        top1_high_percent=float(cells["top1_high_percent"]),
        top5_percent=percent("top5_percent"),
        top5_low_percent=percent("top5_low_percent"),
        top5_high_percent=percent("top5_high_percent"),
        not_finite_images=int(cells["not_finite_images"]),
    )
