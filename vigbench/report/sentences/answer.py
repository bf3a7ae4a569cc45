"""The answer in short lines, for the first screen: who is fastest where, and who needs how much memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vigbench.report.curves import Panel, Panels, SubjectCurve
from vigbench.report.metrics import ACTIVATIONS, EXTRA_MEMORY, KERNEL, LATENCY, PEAK, THROUGHPUT, Metric, number
from vigbench.report.sentences.phrases import listed, sizes, some
from vigbench.report.sentences.rivals import (
    best,
    common_extent,
    count_disturbed,
    disturbed_share,
    is_told,
    tied,
    with_a_conclusion,
)

MOST_SETTINGS, MOST_NAMES = 3, 6
MOST_LEFT_OUT = 3  # disturbed values that are named
UNTOLD = "cannot be told"
TYPICAL_SIZE = 1024  # px: where published figures compare memory


@dataclass(frozen=True)
class AnswerLine:
    """One question and its answers, one for each setting."""

    question: str
    answers: tuple[str, ...]


def speed_line(found: Panels) -> list[AnswerLine]:
    """Who is fastest at which size; none where nothing is compared."""
    speed = next((metric for metric in (KERNEL, LATENCY, THROUGHPUT) if found.get(metric.column)), None)
    texts = _per_setting(found[speed.column], lambda panel: fastest(speed, panel)) if speed else []
    return [AnswerLine("Fastest", tuple(texts))] if texts else []


def memory_line(found: Panels) -> list[AnswerLine]:
    """Who needs how much memory at the size that most comparisons use."""
    memory = next((metric for metric in (ACTIVATIONS, EXTRA_MEMORY, PEAK) if found.get(metric.column)), None)
    if memory is None:
        return []
    panels = with_a_conclusion(found[memory.column])
    if not panels:
        return [AnswerLine(memory.name, (f"{UNTOLD}: {disturbed_share(found[memory.column])}",))]
    extents = {_memory_extent(panel) for panel in panels[:MOST_SETTINGS]}
    where = f" at {panels[0].setting.sweep.text(extents.pop())}" if len(extents) == 1 else ""
    texts = _per_setting(panels, lambda panel: least(memory, panel, say_where=not where))
    return [AnswerLine(f"{memory.name}{where}", tuple(texts))]


def _per_setting(panels: Sequence[Panel], say: Callable[[Panel], str]) -> list[str]:
    texts = [(panel, text) for panel in panels[:MOST_SETTINGS] if (text := say(panel))]
    if len(panels) == 1:
        return [text for _, text in texts]
    result = [f"{panel.brief}: {text}" for panel, text in texts]
    more = len(panels) - MOST_SETTINGS
    return [*result, f"{more} more setting{'s' * (more > 1)} below"] if more > 0 else result


def fastest(metric: Metric, panel: Panel) -> str:
    """`A at 224 and 384 px, B from 512 to 1024 px`: the best at each size that two reach; those that tie together."""
    runs: list[tuple[str, list[float]]] = []
    for extent in panel.extents:
        there = [curve for curve in panel.curves if curve.at(extent)]
        lost = [curve for curve in panel.curves if curve.left_out_at(extent)]
        if len(there) + len(lost) < 2:
            continue
        told = len(there) > 1 and is_told(panel.curves, metric, extent)
        leaders = _leaders(metric, there, extent) if told else UNTOLD
        if runs and runs[-1][0] == leaders:
            runs[-1][1].append(extent)
        else:
            runs.append((leaders, [extent]))
    if runs and all(leaders == UNTOLD for leaders, _ in runs):
        return f"{UNTOLD}: {disturbed_share([panel])}"
    texts = [f"{leaders} at {sizes(extents, panel.setting.sweep)}" for leaders, extents in runs]
    return "; ".join([*texts, *_left_out(panel)]) if texts else ""


def _left_out(panel: Panel) -> list[str]:
    """What the answer rests without."""
    found = [(curve.label, point.extent) for curve in panel.curves for point in curve.left_out]
    if len(found) > MOST_LEFT_OUT:
        return [f"left out as disturbed: {count_disturbed([panel])}"]
    named = [f"{label} at {panel.setting.sweep.text(extent)}" for label, extent in found]
    return [f"left out as disturbed: {listed(named)}"] if named else []


def _leaders(metric: Metric, there: Sequence[SubjectCurve], extent: float) -> str:
    first = best(there, metric, extent).at(extent)
    assert first is not None
    names = [curve.label for curve in there if (point := curve.at(extent)) and tied(point, first)]
    return listed(some(names, 3)) + (" tied" if len(names) > 1 else "")


def least(metric: Metric, panel: Panel, *, say_where: bool) -> str:
    """`A 33 MiB, B 36 MiB, …; C out of memory`: from the least, at the size that most comparisons use."""
    extent = _memory_extent(panel)
    values = sorted((point.value, curve.label) for curve in panel.curves if (point := curve.at(extent)))
    texts = [f"{label} {_amount(value, metric)}" for value, label in values[:MOST_NAMES]]
    if len(values) > MOST_NAMES:
        texts.append(f"… the most: {values[-1][1]} {_amount(values[-1][0], metric)}")
    lost = [curve.label for curve in panel.curves if (extent, "out_of_memory") in curve.failed]
    where = f"at {panel.setting.sweep.text(extent)} " if say_where else ""
    return where + ", ".join(texts) + (f"; out of memory: {listed(lost[:MOST_NAMES])}" if lost else "")


def _amount(value: float, metric: Metric) -> str:
    return f"{number(value)}x" if metric == EXTRA_MEMORY else f"{number(value)} {metric.unit}"


def _memory_extent(panel: Panel) -> float:
    return TYPICAL_SIZE if TYPICAL_SIZE in panel.extents and not panel.setting.shape else common_extent(panel)[0]
