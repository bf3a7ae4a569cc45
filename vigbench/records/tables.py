"""CSV files of a run: raw samples in long form, and the calls of operators and kernels."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vigbench.records.files import read_text

Samples = Sequence[Mapping[str, Sequence[float]]]  # for each worker process: quantity -> values in the order taken
Calls = Mapping[str, int]  # name of an operator or a kernel -> its calls in one iteration

T = TypeVar("T")
MOST_PROCESSES = 10_000  # of one case


def samples_csv(samples: Samples) -> str:
    """Long form: one line a sample, in the order taken."""
    rows = (
        (quantity, process, index, repr(float(value)))
        for process, quantities in enumerate(samples)
        for quantity, values in quantities.items()
        for index, value in enumerate(values)
    )
    return csv_text(("quantity", "process", "index", "value"), rows)


def calls_csv(operators: Calls, kernels: Calls) -> str:
    """One line for each operator and kernel, with its calls in one iteration."""
    kinds = {"operator": operators, "kernel": kernels}
    rows = ((kind, name, calls) for kind, ran in kinds.items() for name, calls in ran.items())
    return csv_text(("kind", "name", "calls"), rows)


def read_samples(path: Path) -> dict[str, list[list[float]]]:
    """What `samples_csv` wrote: quantity -> for each worker process its values; empty if there is no file.

    Raises:
        ValueError: if the file is damaged.
    """
    found: dict[str, list[list[float]]] = {}
    for quantity, process, value in read_csv(path, _sample):
        values = found.setdefault(quantity, [])
        values.extend([] for _ in range(process + 1 - len(values)))
        values[process].append(value)
    return found


def _sample(row: Mapping[str, str]) -> tuple[str, int, float]:
    # files written before a case could have several processes do not name one
    process, value = int(row.get("process", "0")), float(row["value"])
    if math.isnan(value) or not 0 <= process < MOST_PROCESSES:
        raise ValueError(f"{value} of process {process} is no sample")
    return row["quantity"], process, value


def read_calls(path: Path) -> dict[tuple[str, str], int]:
    """What `calls_csv` wrote: (`operator` or `kernel`, name) -> calls; empty if there is no file.

    Raises:
        ValueError: if the file is damaged.
    """
    return dict(read_csv(path, lambda row: ((row["kind"], row["name"]), int(row["calls"]))))


def csv_text(names: Iterable[str], rows: Iterable[Iterable[Any]], *, header: bool = True) -> str:
    """Rows as CSV, with a line of names first unless `header` is false."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(names)
    for row in rows:
        # csv does not quote a lone carriage return, and readers end the line there
        writer.writerow([cell.replace("\r", "\n") if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def read_csv(path: Path, parse: Callable[[dict[str, str]], T]) -> list[T]:
    """Every row (name -> text) of a CSV file as `parse` reads it; empty if there is no file.

    Raises:
        ValueError: if it is damaged; the message names file and line.
    """
    if not path.is_file():
        return []
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        return [parse(row) for row in reader]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{path}, line {reader.line_num}, is damaged: it does not hold what vigbench writes there."
        ) from error
