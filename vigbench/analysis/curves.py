"""Curves over resolution or length from a frame: one subject, one implementation, everything else the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from vigbench.analysis.disturbance import KEYS, LEFT_OUT, has_value, left_out, relative_error
from vigbench.analysis.sides import NEEDED
from vigbench.nearest import did_you_mean, one_of
from vigbench.records.column import QuantityKind
from vigbench.records.metrics import COLUMNS, SOURCES
from vigbench.records.schema import Status
from vigbench.stats.growth_law import GrowthLaw, fit_growth
from vigbench.suites.arguments import with_args
from vigbench.suites.resolution import aspect_of, dimensions_of, mean_side, read_resolution

PATCH_PX = 16  # a token of a model's law is a patch of this side, whatever its own: so that laws compare
METRICS = {name: column.less for name, column in COLUMNS.items() if column.less}
ASPECT = "aspect"
OF_ONE_SIDE = ("subject", "args", "implementation")  # what tells two curves apart that may be set side by side


@dataclass(frozen=True)
class Curve:
    """One subject with one implementation in one setting.

    Attributes:
        settings: its run, where the frame knows it, and those of the case without resolution and length; of images that
            are not square their `aspect`, as 7:10.
        over: resolution, in px, or length, in tokens.
        extents: resolutions (of images that are not square the side of a square of as many px) or lengths that have a
            value which can carry a conclusion, rising.
        values: in the metric's unit.
        errors: relative standard errors of the values.
        failed: resolution or length -> status of each case that is not ok.
        disturbed: resolutions or lengths whose value is left out, since it carries no conclusion, rising.
        dimensions: sides of a resolution.
    """

    settings: Mapping[str, Any]
    over: str
    extents: tuple[float, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]
    failed: Mapping[float, str]
    disturbed: tuple[float, ...] = ()
    dimensions: int = 2

    @property
    def name(self) -> str:
        """See `curve_name`."""
        return curve_name(self.settings)

    @property
    def group(self) -> tuple[Any, ...]:
        """Equal for curves that may be set side by side."""
        rest = (value for name, value in self.settings.items() if name not in OF_ONE_SIDE)
        return (self.over, self.dimensions, *rest)

    @property
    def measured(self) -> tuple[float, ...]:
        """The extents that have a value, disturbed or not."""
        return tuple(sorted((*self.extents, *self.disturbed)))

    @property
    def tokens(self) -> tuple[float, ...]:
        """The extents as N of a law."""
        return tuple(map(self.tokens_at, self.extents))

    def tokens_at(self, extent: float) -> float:
        """N of a resolution in px, or of a length."""
        return tokens_of(self.over, extent, self.dimensions)

    def extent_at(self, tokens: float) -> float:
        """The resolution in px, or the length, of so many tokens."""
        return extent_of(self.over, tokens, self.dimensions)

    @property
    def points(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Tokens, values and errors."""
        return self.tokens, self.values, self.errors

    @cached_property
    def law(self) -> GrowthLaw | None:
        """Its law, where the points allow one."""
        return fit_growth(*self.points)


def extents_text(extents: Iterable[float]) -> str:
    """Sizes in a cell: `384;512`."""
    return ";".join(f"{extent:.6g}" for extent in extents)


def curve_name(settings: Mapping[str, Any]) -> str:
    """`subject@implementation`; the subject alone, with its arguments, where there is no choice."""
    args, implementation = settings.get("args"), settings["implementation"]
    subject = with_args(str(settings["subject"]), args if isinstance(args, str) else "")
    return subject if implementation in ("", "default") else f"{subject}@{implementation}"


def tokens_of(over: str, extent: float, dimensions: int = 2) -> float:
    """N: the length itself, or the patches of 16 px in an image (or volume) with this mean side."""
    return float((extent / PATCH_PX) ** dimensions) if over == "resolution" else extent


def extent_of(over: str, tokens: float, dimensions: int = 2) -> float:
    """The reverse of `tokens_of`."""
    if over != "resolution":
        return tokens
    return float(PATCH_PX * (math.sqrt(tokens) if dimensions == 2 else tokens ** (1 / dimensions)))


def curves_of(frame: pd.DataFrame, metric: str) -> list[Curve]:
    """All curves of a frame of `load_results`, those without a value included, in the order of their first case.

    Kernel times of different sources do not compare: they are curves of their own.

    Values that cannot carry a conclusion are left out, see `analysis.disturbance`.

    A value's relative standard error is half its 95% interval / 1.96. Where the interval does not hold the spread
    between processes (one process; device time), that is added: 5% on a CPU and 1% on CUDA over the square root of
    their number. Memory: 0.5%.

    Raises:
        ValueError: if the metric has no law, the frame lacks columns, or holds a case more than once.
    """
    _require(frame, metric)
    keys, kind = keys_of(frame, metric), SOURCES.get(metric)
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    every: list[dict[str, Any]] = [
        {str(name): None if pd.isna(value) else value for name, value in raw.items()}
        for raw in frame.to_dict("records")
    ]
    for row, unsound in zip(every, left_out(every), strict=True):
        row[LEFT_OUT] = unsound
        over = "resolution" if row.get("length") is None else "length"
        if row.get(over) is not None:
            row[ASPECT] = aspect_of(read_resolution(row[over]))
            groups.setdefault((over, *(row[name] for name in keys)), []).append(row)
    if kind in keys:
        groups = _with_failed(groups, 1 + keys.index(kind))
    return [_curve(dict(zip(keys, key[1:], strict=True)), key[0], rows, metric) for key, rows in groups.items()]


def keys_of(frame: pd.DataFrame, metric: str) -> list[str]:
    """The columns in which the points of a curve agree: run, settings but for the size, and the kind of value."""
    kind = SOURCES.get(metric)
    aspect = [ASPECT] * any(isinstance(resolution, str) for resolution in frame.get("resolution", ()))
    known = [name for name in ("run", *KEYS) if name in frame]
    return [*known, *aspect, *([kind] if kind is not None and kind in frame else [])]


def _with_failed(
    groups: Mapping[tuple[Any, ...], list[Mapping[str, Any]]], place: int
) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    """Cases without a value have no kind of value (at `place` of the key): they are on every curve of their setting."""
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for key, rows in groups.items():
        kinds = [other for other in groups if other[:place] == key[:place] and other[place] is not None]
        for curve_key in kinds if key[place] is None and kinds else [key]:
            found.setdefault(curve_key, []).extend(rows)
    return found


def _curve(settings: Mapping[str, Any], over: str, rows: list[Mapping[str, Any]], metric: str) -> Curve:
    by_extent = {mean_side(read_resolution(row[over])): row for row in rows}
    if len(by_extent) < len(rows):
        raise ValueError(
            f"The frame has a case of {settings['subject']} more than once, so its curve is not one. Pass the rows of "
            "one run, or frames of load_results, which name the run of each row."
        )
    measured = {extent: row for extent, row in sorted(by_extent.items()) if has_value(row, metric)}
    known = {extent: row for extent, row in measured.items() if metric not in row[LEFT_OUT]}
    return Curve(
        settings,
        over,
        tuple(known),
        tuple(float(row[metric]) for row in known.values()),
        tuple(relative_error(row, metric) for row in known.values()),
        {extent: str(row["status"]) for extent, row in sorted(by_extent.items()) if row["status"] != Status.ok},
        tuple(extent for extent in measured if extent not in known),
        dimensions_of(read_resolution(rows[0][over]), str(rows[0].get("unit") or "")),
    )


def _require(frame: pd.DataFrame, metric: str) -> None:
    if metric in COLUMNS and COLUMNS[metric].kind is QuantityKind.rate:
        raise ValueError(f"{metric} is a rate: it falls where the time grows. Use latency_ms.")
    if metric not in METRICS:
        raise ValueError(f"There is no growth law for {metric!r}{did_you_mean(metric, METRICS)} "
                         f"Choose {one_of(METRICS)}.")  # fmt: skip
    missing = [name for name in (*(name for name in NEEDED if name in KEYS), "status", metric) if name not in frame]
    if not {"resolution", "length"} & set(frame.columns):
        missing.append("resolution")
    if missing:
        raise ValueError(f"The frame lacks {one_of(missing)}; pass one from vigbench.load_results.")
