"""Sentences computed from the curves: what the run found, in the words of a person who read the plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vigbench.report.curves import Curve, Panel, Point
from vigbench.report.metrics import (
    ACTIVATIONS,
    GMACS,
    KERNEL,
    LATENCY,
    PEAK,
    PLOTTED,
    THROUGHPUT,
    Metric,
    number,
    percent,
    times,
)
from vigbench.report.names import SIZES

Panels = Mapping[str, Sequence[Panel]]  # by metric column
MEMORY = (ACTIVATIONS, PEAK)


@dataclass(frozen=True)
class Pair:
    """ViG beside DeiT of the same size, or GLA beside attention, at one size that both reach in one setting."""

    panel: Panel
    extent: int
    ours: Curve
    theirs: Curve  # the best implementation: nobody deploys a slower one
    eager: Curve | None  # DeiT with materialised attention, as published figures measure it


def find_pair(panels: Sequence[Panel], metric: Metric) -> Pair | None:
    """The first pair in the order of settings (most results first) and sizes (small models first)."""
    return next((pair for panel in panels if (pair := pair_at(panel, metric, max))), None)


def pair_at(panel: Panel, metric: Metric, choose: Callable[[set[int]], int]) -> Pair | None:
    """The pair of one setting, small models first, at the extent that `choose` takes of those that both reach."""
    for size in ("",) if panel.setting.shape else SIZES:
        ours = [c for c in panel.curves if c.family == "vig" and c.size == size and c.points]
        theirs = [c for c in panel.curves if c.family == "deit" and c.size == size and c.points]
        shared = {p.extent for c in ours for p in c.points} & {p.extent for c in theirs for p in c.points}
        if shared:
            extent = choose(shared)
            reaching = {c.subject for c in ours if c.at(extent)}
            plain = min(reaching, key=lambda subject: (len(subject), subject))  # ViG before ViG-H
            our_best = best([c for c in ours if c.subject == plain], metric, extent)
            their_best = best(theirs, metric, extent)
            eager = next((c for c in theirs if c.implementation == "eager" and c is not their_best), None)
            return Pair(panel, extent, our_best, their_best, eager)
    return None


def best(curves: Sequence[Curve], metric: Metric, extent: int) -> Curve:
    """The curve with the best value at a resolution or length."""
    found = [(point.value, curve) for curve in curves if (point := curve.at(extent))]
    return (max if metric.higher_is_better else min)(found, key=lambda item: item[0])[1]


def relation(metric: Metric, ours: Point, theirs: Point) -> str:
    """`is 2.6x faster than`, `needs 93% less activation memory than`, ...: reads on with the other's name."""
    ratio = ours.value / theirs.value
    close = level(ours, theirs)
    if metric.is_time:
        if close:
            return "is, within the noise, as fast as"
        return f"is {times(1 / ratio)} faster than" if ratio < 1 else f"is {times(ratio)} slower than"
    verb = "processes" if metric is THROUGHPUT else "needs"
    few = "fewer" if metric in (THROUGHPUT, GMACS) else "less"
    many = "many" if metric in (THROUGHPUT, GMACS) else "much"
    if close:
        return f"{verb} as {many} {metric.quantity} as"
    if ratio >= 1.995:
        return f"{verb} {times(ratio)} as {many} {metric.quantity} as"
    if ratio > 1:
        return f"{verb} {percent(ratio - 1)} more {metric.quantity} than"
    if metric is GMACS:
        return f"{verb} {times(1 / ratio)} fewer {metric.quantity} than"
    return f"{verb} {percent(1 - ratio)} {few} {metric.quantity} than"


def level(ours: Point, theirs: Point) -> bool:
    """Whether the data cannot tell the two apart: intervals overlap, or the difference is under half a percent."""
    if (
        ours.interval
        and theirs.interval
        and ours.interval[0] <= theirs.interval[1]
        and theirs.interval[0] <= ours.interval[1]
    ):
        return True
    return abs(ours.value - theirs.value) <= 0.005 * abs(theirs.value)


def metric_title(metric: Metric, panels: Sequence[Panel]) -> str:
    """The finding that a plot shows."""
    several = len(panels) > 1
    if metric.across and (pair := find_pair(panels, metric)) and (sentence := pair_sentence(metric, pair)):
        return f"{_where(pair.extent, pair.panel, several)} {sentence}"
    return _leader(metric, panels[0], several)


def _where(extent: int, panel: Panel, several: bool) -> str:
    return f"At {panel.setting.sweep.text(extent)}" + (f" ({panel.brief})" if several else "")


def pair_sentence(metric: Metric, pair: Pair) -> str:
    """Without resolution or length; memory also against eager DeiT, since published figures mean that."""
    ours, theirs = pair.ours.at(pair.extent), pair.theirs.at(pair.extent)
    if ours is None or theirs is None or min(ours.value, theirs.value) <= 0:
        return ""
    sentence = f"{pair.ours.label} {relation(metric, ours, theirs)} {pair.theirs.label}"
    return sentence + (_eager_too(pair, ours, theirs) if metric in MEMORY else "")


def _eager_too(pair: Pair, ours: Point, theirs: Point) -> str:
    eager = pair.eager.at(pair.extent) if pair.eager else None
    if not pair.eager or not eager or ours.value >= 0.995 * eager.value:
        return ""
    yet = "yet " if ours.value > theirs.value and not level(ours, theirs) else ""
    return f", {yet}{percent(1 - ours.value / eager.value)} less than {pair.eager.label}"


def common_extent(panel: Panel) -> tuple[int, list[Curve]]:
    """The largest resolution or length that all curves with values reach, else the largest that any reaches."""
    curves = [curve for curve in panel.curves if curve.points]
    shared = set.intersection(*({point.extent for point in curve.points} for curve in curves))
    extent = max(shared or set(panel.extents))
    return extent, [curve for curve in curves if curve.at(extent)]


def _leader(metric: Metric, panel: Panel, several: bool) -> str:
    extent, curves = common_extent(panel)
    first = best(curves, metric, extent).at(extent)
    assert first is not None
    tied = [curve.label for curve in curves if (point := curve.at(extent)) and level(point, first)]
    amount = f"{number(first.value)} {metric.unit}"
    where = _where(extent, panel, several)
    if len(curves) == 1:
        return f"{where} {tied[0]} {_verb(metric)} {amount}"
    if len(tied) == len(curves):
        return f"{where} all {len(tied)} are level: {amount}"
    if len(tied) > 3:
        tied = [*tied[:2], f"{len(tied) - 2} more"]
    names = ", ".join(tied[:-1]) + f" and {tied[-1]}" if len(tied) > 1 else tied[0]
    return f"{where} {names} {_superlative(metric, len(tied) > 1)} of {len(curves)}: {amount}"


def _verb(metric: Metric) -> str:
    if metric.is_time:
        return "takes"
    return "processes" if metric is THROUGHPUT else "reaches" if metric.higher_is_better else "needs"


def _superlative(metric: Metric, several: bool) -> str:
    if metric.is_time:
        return f"{'are' if several else 'is'} the fastest"
    if metric is THROUGHPUT:
        return f"process{'' if several else 'es'} the most images per second"
    if metric.higher_is_better:
        return f"reach{'' if several else 'es'} the highest {metric.quantity}"
    return f"need{'' if several else 's'} the {'fewest' if metric is GMACS else 'least'} {metric.quantity}"


def headline(panels: Panels, statuses: Mapping[str, int]) -> str:
    """The answer to the run's question in one sentence."""
    shown = [metric for metric in PLOTTED if panels.get(metric.column)]
    if not shown:
        return _nothing(statuses)
    speed = next((metric for metric in (KERNEL, LATENCY, THROUGHPUT) if metric in shown), shown[0])
    pair = find_pair(panels[speed.column], speed)
    if not pair or not pair_sentence(speed, pair):
        return metric_title(speed, panels[speed.column])
    where = _where(pair.extent, pair.panel, len(panels[speed.column]) > 1)
    sentence = f"{where} {pair_sentence(speed, pair)}"
    memory = next((metric for metric in MEMORY if metric in shown), None)
    if memory and memory is not speed and (other := _same_pair(panels[memory.column], pair)):
        ours, theirs = other.ours.at(pair.extent), other.theirs.at(pair.extent)
        if ours and theirs and min(ours.value, theirs.value) > 0:
            phrase = relation(memory, ours, theirs)
            sentence += f" and {phrase.removesuffix(' than').removesuffix(' as')}{_eager_too(other, ours, theirs)}"
    return sentence


def _same_pair(panels: Sequence[Panel], pair: Pair) -> Pair | None:
    """The same two curves in another metric: one answer must not mix implementations."""
    panel = next((panel for panel in panels if panel.setting == pair.panel.setting), None)
    if panel is None:
        return None
    found = {(curve.subject, curve.implementation): curve for curve in panel.curves}
    ours = found.get((pair.ours.subject, pair.ours.implementation))
    theirs = found.get((pair.theirs.subject, pair.theirs.implementation))
    eager = found.get((pair.theirs.subject, "eager"))
    if not ours or not theirs:
        return None
    return Pair(panel, pair.extent, ours, theirs, eager if eager is not theirs else None)


def _nothing(statuses: Mapping[str, int]) -> str:
    total = sum(statuses.values())
    if not total:
        return "No case of this run has ended yet"
    if set(statuses) == {"ok"}:
        return f"{total} case{'s' * (total > 1)} ended well, none with a number to plot"
    kinds = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(statuses.items()))
    return f"None of {total} case{'s' * (total > 1)} gave a number: {kinds}"
