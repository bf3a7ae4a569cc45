"""From which size on one subject is cheaper than another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from vigbench.analysis.curves import METRICS, OF_ONE_SIDE, Curve, curves_of, extents_text, keys_of
from vigbench.analysis.disturbance import KEYS
from vigbench.nearest import did_you_mean
from vigbench.records.metrics import SOURCES
from vigbench.stats.crossover import Crossover, Kind, find_crossover

MOST_PAIRS = 20_000
CERTAIN = 0.975  # share of draws from which "always" needs no qualification
SHARED = tuple(name for name in (*KEYS, *dict.fromkeys(SOURCES.values())) if name not in OF_ONE_SIDE)
FOUND = (
    "metric", "a", "b", "over", "kind", "crossing", "low", "high", "share", "others", "smallest", "largest",
    "disturbed",
)  # fmt: skip
UNKNOWN = "unknown"  # beside the kinds of a crossover: too many sizes are disturbed to tell
TOLD_FROM = 2  # common sizes, where others are left out as disturbed


def crossovers(
    frame: pd.DataFrame, metric: str = "latency_ms", a: str | None = None, b: str | None = None
) -> pd.DataFrame:
    """Find where A becomes and stays cheaper than B, for each ordered pair of curves in the same setting and run.

    Args:
        frame: of `load_results`.
        metric: latency_ms, kernel_ms, peak_memory_mib or activation_memory_mib.
        a, b: which curves may be A or B: `subject`, `subject@implementation` or a glob of either; default: all.

    Returns:
        One row for each pair: `run` (where the frame has it) and the settings that both share; `metric`; `a`, `b`:
        `subject@implementation`, or the subject where there is no choice; `over`: resolution or length; `kind`:
        measured, extrapolated (by the fitted laws, at most 4 times the largest common resolution, or 16 times the
        length), always (`high`: from where beyond the noise, where that is not throughout), never, level (the noise
        explains all differences), or unknown (fewer than 2 common sizes are undisturbed); `crossing`: the resolution in
        px or length in tokens, with the 95% interval `low`, `high`, missing where it is open on that side; `share` of
        the bootstrap's draws that agree on there being one, or none; `others`: further crossings, `;`-separated;
        `smallest`, `largest`: the common sizes that count; `disturbed`: those left out since a value carries no
        conclusion, `;`-separated; `sentence`.

    Raises:
        ValueError: if the metric has no law, the frame lacks columns, holds a case more than once or too many pairs,
            or nothing matches `a` or `b`.
    """
    curves = [curve for curve in curves_of(frame, metric) if curve.measured]
    firsts, seconds = _matching(curves, "a", a), _matching(curves, "b", b)
    by_group: dict[tuple[Any, ...], list[Curve]] = {}
    for curve in seconds:
        by_group.setdefault(curve.group, []).append(curve)
    count = sum(len(by_group.get(first.group, ())) for first in firsts)
    if count > MOST_PAIRS:
        raise ValueError(
            f"{count:,} pairs of curves are more than the {MOST_PAIRS:,} that can be looked at; name a side (a or b, "
            "--against), or pass fewer rows."
        )
    rows = [
        row
        for first in firsts
        for second in by_group.get(first.group, ())
        if first is not second and (row := _row(first, second, metric)) is not None
    ]
    keys = [name for name in keys_of(frame, metric) if name not in OF_ONE_SIDE]
    return pd.DataFrame(rows, columns=[*keys, *FOUND, "sentence"])


def matches(curve: Curve, pattern: str) -> bool:
    """Whether a subject, `subject@implementation` or a glob of either means this curve."""
    names = (str(curve.settings["subject"]), curve.name)
    return pattern in names or any(fnmatchcase(name, pattern) for name in names)


def _matching(curves: Iterable[Curve], side: str, pattern: str | None) -> list[Curve]:
    found = [curve for curve in curves if pattern is None or matches(curve, pattern)]
    if pattern is not None and not found:
        names = sorted({curve.name for curve in curves})
        raise ValueError(f"No curve with a value matches {side}={pattern!r}{did_you_mean(pattern, names)} "
                         f"There are: {', '.join(names[:20]) or 'none'}.")  # fmt: skip
    return found


def _row(first: Curve, second: Curve, metric: str) -> dict[str, Any] | None:
    common = set(first.measured) & set(second.measured)
    told = set(first.extents) & set(second.extents)
    disturbed = tuple(sorted(common - told))
    row = {
        **{name: value for name, value in first.settings.items() if name not in OF_ONE_SIDE},
        "metric": metric,
        "a": first.name,
        "b": second.name,
        "over": first.over,
        "disturbed": extents_text(disturbed),
    }
    if disturbed and len(told) < TOLD_FROM:
        text = _unknown(first, second, metric, len(disturbed), len(common))
        return {**row, "kind": UNKNOWN, "others": "", "smallest": min(common), "largest": max(common), "sentence": text}
    found = find_crossover(first.points, second.points, (first.law, second.law))
    if found is None:
        return None

    def extent(tokens: float | None) -> float | None:
        return None if tokens is None else first.extent_at(tokens)

    return {
        **row,
        "kind": str(found.kind),
        "crossing": extent(found.size),
        "low": extent(found.low),
        "high": extent(found.high),
        "share": found.share,
        "others": ";".join(f"{first.extent_at(size):.6g}" for size in found.others),
        "smallest": extent(found.smallest),
        "largest": extent(found.largest),
        "sentence": sentence(first, second, metric, found, disturbed),
    }


def sentence(one: Curve, two: Curve, metric: str, found: Crossover, disturbed: Sequence[float] = ()) -> str:
    """The crossover in words: `vig takes less time than deit@sdpa from 384 px (370 to 401) on.`

    `disturbed`: common sizes that are left out.
    """
    if not disturbed:
        return f"{_told(one, two, metric, found)}."
    sizes = ", ".join(f"{extent:.6g}" for extent in disturbed)
    return f"{_told(one, two, metric, found, of_all=False)}; left out as disturbed: {sizes} {_unit(one)}."


def _told(one: Curve, two: Curve, metric: str, found: Crossover, *, of_all: bool = True) -> str:
    """The sentence without its full stop; `of_all`: whether every size that was measured counts."""
    pair, unit = f"{one.name} {METRICS[metric]} {two.name}", _unit(one)
    largest = f"{one.extent_at(found.largest):.0f} {unit}"
    span = largest if found.smallest == found.largest else f"{one.extent_at(found.smallest):.0f} to {largest}"
    low, high = (None if end is None else _number(one, end) for end in (found.low, found.high))
    if found.kind is Kind.level:
        return f"{one.name} and {two.name} are level within the noise ({span})"
    if found.kind is Kind.never:
        return f"No size is found from which {pair} on ({span})"
    if found.kind is Kind.always:
        sure = (
            ""
            if found.share >= CERTAIN
            else f"; beyond the noise from {high} {unit} on"
            if high
            else f"; at {largest} within the noise"
        )
        return f"{pair} at every {'size measured' if of_all else 'undisturbed size'} ({span}){sure}"
    assert found.size is not None
    interval = f"{low} to {high}" if low and high else f"{low} or more" if low else f"{high or 'any size'} or less"
    where = f"{pair} from {_number(one, found.size)} {unit} ({interval}) on"
    if found.kind is Kind.extrapolated:
        return f"By the fitted laws, not measured{'' if of_all else ' undisturbed'} beyond {largest}: {where}"
    others = ", ".join(_number(one, size) for size in found.others)
    return f"{where}{f'; the curves also cross at {others} {unit}' if others else ''}"


def _unknown(one: Curve, two: Curve, metric: str, disturbed: int, common: int) -> str:
    of_sizes = f"{disturbed} of {common} size{'s' * (common > 1)}"
    return f"Whether {one.name} {METRICS[metric]} {two.name} cannot be told: {of_sizes} left out as disturbed."


def _unit(curve: Curve) -> str:
    return "px" if curve.over == "resolution" else "tokens"


def _number(curve: Curve, tokens: float) -> str:
    """Whole px; tokens to three digits."""
    extent = curve.extent_at(tokens)
    return f"{extent:.0f}" if curve.over == "resolution" else f"{float(f'{extent:.3g}'):.0f}"
