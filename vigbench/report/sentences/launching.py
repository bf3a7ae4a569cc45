"""Slower, or bound by launching? A call beside its own CUDA graph, in which the host launches once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigbench.report.curves import CurvePoint, Panel, Panels, SubjectCurve
from vigbench.report.metrics import LATENCY, number, percent
from vigbench.report.sentences.answer import AnswerLine
from vigbench.report.sentences.phrases import listed, sizes
from vigbench.report.sentences.rivals import rivals_at, tied
from vigbench.report.sentences.titles import rivals_sentence

LEAST_SHARE = 0.2  # of the latency: where a device is busy for less than 80% of it, a record is marked `launch_bound`
MOST_CURVES = 6


@dataclass(frozen=True)
class Twins:
    """The panel of one setting, and that of the same with CUDA graphs."""

    plain: Panel
    graph: Panel

    def points(self, curve: SubjectCurve) -> list[tuple[CurvePoint, CurvePoint]]:
        """A curve's values, each with that of its graph: the same kernels on the same data, without the launches."""
        named = {(graph_curve.subject, graph_curve.implementation): graph_curve for graph_curve in self.graph.curves}
        twin = named.get((curve.subject, curve.implementation))
        return [(point, graph_point) for point in curve.points if twin and (graph_point := twin.at(point.extent))]


def launching_lines(found: Panels) -> list[AnswerLine]:
    """What launching costs, where a run has calls and their graphs; none elsewhere."""
    panels = found.get(LATENCY.column, ())
    by_setting = {panel.setting: panel for panel in panels}
    twins = [
        Twins(panel, graph)
        for panel in panels
        if not panel.setting.value("cuda_graph")
        and (graph := by_setting.get(panel.setting.with_value("cuda_graph", True)))
    ]
    texts = [
        f"{pair.plain.brief}: {text}" if len(twins) > 1 else text for pair in twins for text in _texts(pair) if text
    ]
    return [AnswerLine("Bound by launching", tuple(texts))] if texts else []


def _texts(twins: Twins) -> list[str]:
    compared = [(curve, points) for curve in twins.plain.curves if (points := twins.points(curve))]
    bound = [(curve, waits) for curve, points in compared if (waits := [pair for pair in points if _waits(*pair)])]
    free = [curve.label for curve, points in compared if not any(_waits(*pair) for pair in points)]
    texts = [_bound_text(curve, waits, twins) for curve, waits in bound[:MOST_CURVES]]
    if len(bound) > MOST_CURVES:
        texts.append(f"{len(bound) - MOST_CURVES} more, see the table")
    if free:
        texts.append(f"At no size: {listed(free)}")
    return [*texts, _compared(twins)]


def _waits(plain: CurvePoint, graph: CurvePoint) -> bool:
    return share_of_launching(plain, graph) >= LEAST_SHARE and not tied(plain, graph)


def share_of_launching(plain: CurvePoint, graph: CurvePoint) -> float:
    """Share of a call's latency, 0 to 1, that its graph does without: what the host took and the device waited for."""
    return max(0.0, 1 - graph.value / plain.value)


def _bound_text(curve: SubjectCurve, waits: Sequence[tuple[CurvePoint, CurvePoint]], twins: Twins) -> str:
    plain, graph = waits[0]
    sweep, unit = twins.plain.setting.sweep, LATENCY.unit
    where = sizes([point.extent for point, _ in waits], sweep)
    share = f"{percent(share_of_launching(plain, graph))} of its latency at {sweep.text(plain.extent)} is launching"
    times = f"{number(graph.value)} {unit} instead of {number(plain.value)} {unit}"
    return f"{curve.label} at {where}: {share}; as a CUDA graph it takes {times}"


def _compared(twins: Twins) -> str:
    """ViG beside DeiT with and without launches, at the smallest size that both have: slower in both is slower."""
    both = [rivals for panel in (twins.plain, twins.graph) if (rivals := rivals_at(panel, LATENCY, min))]
    if len({rivals.extent for rivals in both}) != 1 or len(both) < 2:
        return ""
    plain, graph = (rivals_sentence(LATENCY, rivals) for rivals in both)
    where = twins.plain.setting.sweep.text(both[0].extent)
    return f"At {where}, call by call, {plain}; as CUDA graphs, {graph}" if plain and graph else ""
