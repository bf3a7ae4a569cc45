"""Sentences computed from the curves: what the run found, in the words of a person who read the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vigbench.report.curves import CurvePoint, Panel, Panels
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
from vigbench.report.sentences.phrases import listed, some
from vigbench.report.sentences.rivals import (
    Rivals,
    best,
    common_extent,
    disturbed_share,
    find_rivals,
    is_told,
    same_rivals,
    tied,
    undivided,
    with_a_conclusion,
)

MEMORY = (ACTIVATIONS, PEAK)


def relation(metric: Metric, ours: CurvePoint, theirs: CurvePoint) -> str:
    """`is 2.6x faster than`, `needs 93% less activation memory than`, ...: reads on with the other's name."""
    ratio = ours.value / theirs.value
    close = tied(ours, theirs)
    if metric.is_time:
        if close:
            return "is, within the noise, as fast as"
        return f"is {times(1 / ratio)} faster than" if ratio < 1 else f"is {times(ratio)} slower than"
    verb = "processes" if metric == THROUGHPUT else "needs"
    few = "fewer" if metric in (THROUGHPUT, GMACS) else "less"
    many = "many" if metric in (THROUGHPUT, GMACS) else "much"
    if close:
        return f"{verb} as {many} {metric.quantity} as"
    if ratio >= 1.995:
        return f"{verb} {times(ratio)} as {many} {metric.quantity} as"
    if ratio > 1:
        return f"{verb} {percent(ratio - 1)} more {metric.quantity} than"
    if metric == GMACS:
        return f"{verb} {times(1 / ratio)} fewer {metric.quantity} than"
    return f"{verb} {percent(1 - ratio)} {few} {metric.quantity} than"


def metric_title(metric: Metric, panels: Sequence[Panel]) -> str:
    """The finding that a plot shows."""
    several = len(panels) > 1
    if metric.across and (rivals := find_rivals(panels, metric)) and (sentence := rivals_sentence(metric, rivals)):
        return f"{_where(rivals.extent, rivals.panel, several)} {sentence}"
    told = with_a_conclusion(panels)
    if not told:
        return f"No ranking by {metric.of(panels[0].setting.unit).name.lower()}: {disturbed_share(panels)}"
    return _leader(metric, told[0], several)


def _where(extent: float, panel: Panel, several: bool) -> str:
    return f"At {panel.setting.sweep.text(extent)}" + (f" ({panel.brief})" if several else "")


def rivals_sentence(metric: Metric, rivals: Rivals) -> str:
    """Without resolution or length; memory also against eager DeiT, since published figures mean that."""
    if not rivals.points:
        return ""
    metric = metric.of(rivals.panel.setting.unit)
    sentence = f"{rivals.ours.label} {relation(metric, *rivals.points)} {rivals.theirs.label}"
    return sentence + (_eager_too(rivals, *rivals.points) if metric in MEMORY else "")


def _eager_too(rivals: Rivals, ours: CurvePoint, theirs: CurvePoint) -> str:
    eager = rivals.eager.at(rivals.extent) if rivals.eager else None
    if not rivals.eager or not eager or ours.value >= 0.995 * eager.value:
        return ""
    yet = "yet " if ours.value > theirs.value and not tied(ours, theirs) else ""
    return f", {yet}{percent(1 - ours.value / eager.value)} less than {rivals.eager.label}"


def _leader(metric: Metric, panel: Panel, several: bool) -> str:
    metric = metric.of(panel.setting.unit)
    extent, curves = common_extent(panel)
    if not is_told(panel.curves, metric, extent):
        return f"{_where(extent, panel, several)} no ranking by {metric.name.lower()}: {disturbed_share([panel])}"
    first = best(curves, metric, extent).at(extent)
    assert first is not None
    leaders = [curve.label for curve in curves if (point := curve.at(extent)) and tied(point, first)]
    amount = f"{number(first.value)} {metric.unit}"
    where = _where(extent, panel, several)
    if len(curves) == 1:
        return f"{where} {leaders[0]} {_verb(metric)} {amount}"
    if len(leaders) == len(curves):
        return f"{where} all {len(leaders)} tie at {amount}"
    ranked = f"{len(curves)}{' undisturbed' * any(curve.left_out_at(extent) for curve in panel.curves)}"
    return f"{where} {listed(some(leaders, 3))} {_superlative(metric, len(leaders) > 1)} of {ranked}: {amount}"


def _verb(metric: Metric) -> str:
    if metric.is_time:
        return "takes"
    return "processes" if metric == THROUGHPUT else "reaches" if metric.higher_is_better else "needs"


def _superlative(metric: Metric, several: bool) -> str:
    if metric.is_time:
        return f"{'are' if several else 'is'} the fastest"
    if metric == THROUGHPUT:
        return f"process{'' if several else 'es'} the most {metric.quantity}"
    if metric.higher_is_better:
        return f"reach{'' if several else 'es'} the highest {metric.quantity}"
    return f"need{'' if several else 's'} the {'fewest' if metric == GMACS else 'least'} {metric.quantity}"


def headline(panels: Panels, statuses: Mapping[str, int]) -> str:
    """The answer to the run's question in one sentence."""
    shown = [metric for metric in PLOTTED if panels.get(metric.column)]
    if not shown:
        return _nothing(statuses)
    speed = next((metric for metric in (KERNEL, LATENCY, THROUGHPUT) if metric in shown), shown[0])
    rivals = find_rivals(panels[speed.column], speed)
    memory = next((metric for metric in MEMORY if metric in shown), None)
    if not rivals or not rivals_sentence(speed, rivals):
        beside = panels[memory.column] if memory else ()
        return _untold_headline(speed, panels[speed.column], memory, beside) or metric_title(
            speed, panels[speed.column]
        )
    where = _where(rivals.extent, rivals.panel, len(panels[speed.column]) > 1)
    sentence = f"{where} {rivals_sentence(speed, rivals)}"
    other = same_rivals(panels[memory.column], rivals) if memory and memory is not speed else None
    if memory and other and other.points:
        phrase = relation(memory, *other.points).removesuffix(" than").removesuffix(" as")
        sentence += f" and {phrase}{_eager_too(other, *other.points)}"
    return sentence


def _untold_headline(speed: Metric, panels: Sequence[Panel], memory: Metric | None, beside: Sequence[Panel]) -> str:
    """What can be said of rivals whose times were disturbed; empty where there are no such rivals."""
    lost = find_rivals([undivided(panel) for panel in panels], speed)
    if not lost or not lost.points:
        return ""
    why = f"cannot be told, since {disturbed_share(panels)}"
    rivals = find_rivals(beside, memory) if memory else None
    if memory and rivals and (sentence := rivals_sentence(memory, rivals)):
        return f"{_where(rivals.extent, rivals.panel, len(beside) > 1)} {sentence}; which is faster {why}"
    return f"Whether {lost.ours.label} is faster than {lost.theirs.label} {why}"


def _nothing(statuses: Mapping[str, int]) -> str:
    total = sum(statuses.values())
    if not total:
        return "No case of this run has ended yet"
    if set(statuses) == {"ok"}:
        return f"{total} case{'s' * (total > 1)} succeeded, but none has a number to plot"
    kinds = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(statuses.items()))
    return f"None of {total} case{'s' * (total > 1)} gave a number: {kinds}"
