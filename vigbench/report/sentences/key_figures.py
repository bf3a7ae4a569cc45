"""The key figures of the first screen: a number each, and what it is."""

from __future__ import annotations

from collections.abc import Mapping

from vigbench.report.curves import Panel, Panels
from vigbench.report.metrics import (
    ACTIVATIONS,
    BANDWIDTH,
    EXTRA_MEMORY,
    GMACS,
    KERNEL,
    LATENCY,
    PEAK,
    THROUGHPUT,
    Metric,
    number,
    percent,
    times,
)
from vigbench.report.sentences.rivals import common_extent, find_rivals, is_told, tied, with_a_conclusion


def key_figures(panels: Panels, counts: Mapping[str, int], marked: int) -> list[tuple[str, str]]:
    """Up to five (figure, what it is)."""
    found = [
        figure
        for metric in (KERNEL, LATENCY, THROUGHPUT, ACTIVATIONS, BANDWIDTH, EXTRA_MEMORY, PEAK, GMACS)
        if (figure := _figure(metric, panels))
    ]
    total, ok = sum(counts.values()), counts.get("ok", 0)
    failed = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in sorted(counts.items()) if status != "ok")
    warned = f"{marked:,} with a warning, see Marks" if marked else ""
    return [*found[:4], (f"{ok:,} of {total:,}", "; ".join(filter(None, ["cases succeeded", failed, warned])))]


def _figure(metric: Metric, by_metric: Panels) -> tuple[str, str] | None:
    panels = by_metric.get(metric.column)
    if not panels:
        return None
    rivals = find_rivals(panels, metric) if metric.across else None
    if not rivals or not rivals.points:
        told = with_a_conclusion(panels)
        return _plain_figure(metric, told[0]) if told else None
    ours, theirs = rivals.points
    beside = f"{rivals.ours.label} beside {rivals.theirs.label}, {rivals.panel.setting.sweep.text(rivals.extent)}"
    beside += f", {rivals.panel.brief}" if len(panels) > 1 else ""
    ratio = ours.value / theirs.value
    name = metric.of(rivals.panel.setting.unit).name.lower()
    if tied(ours, theirs):
        return "equal", f"{name}, {beside}"
    if metric.is_time:
        return (times(1 / ratio), f"faster: {beside}") if ratio < 1 else (times(ratio), f"slower: {beside}")
    if metric == THROUGHPUT or ratio >= 1.995:
        return times(ratio) if ratio >= 1 else f"{ratio:.2f}x", f"{name}: {beside}"
    if metric == GMACS and ratio < 1:
        return times(1 / ratio), f"fewer multiply-adds: {beside}"
    sign = "\N{MINUS SIGN}" if ratio < 1 else "+"
    return f"{sign}{percent(abs(1 - ratio))}", f"{name}: {beside}"


def _plain_figure(metric: Metric, panel: Panel) -> tuple[str, str] | None:
    metric = metric.of(panel.setting.unit)
    extent, curves = common_extent(panel)
    if not is_told(panel.curves, metric, extent):
        return None
    values = {curve.label: point.value for curve in curves if (point := curve.at(extent))}
    label = (max if metric.higher_is_better else min)(values, key=lambda name: values[name])
    kind = "highest" if metric.higher_is_better else "lowest"
    kind += " undisturbed" * any(curve.left_out_at(extent) for curve in panel.curves)
    which = f"{kind} {metric.name.lower()}: {label}" if len(values) > 1 else f"{metric.name.lower()}: {label}"
    return f"{number(values[label])} {metric.unit}", f"{which}, {panel.setting.sweep.text(extent)}"
