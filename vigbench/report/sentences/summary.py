"""The words around the pictures: settings, key figures, notes and alternative texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from vigbench.report.curves import Curve, Panel
from vigbench.report.metrics import (
    ACTIVATIONS,
    BANDWIDTH,
    COMPUTE,
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
from vigbench.report.rows import Row, Sweep
from vigbench.report.sentences.infos import Info, device_of, run_of
from vigbench.report.sentences.titles import Panels, common_extent, find_pair, level
from vigbench.report.stacks import StackPanel
from vigbench.report.style import END_MARKS, OTHER_END

MAX_SETTINGS = 4  # more are not named in a subtitle


def statuses(rows: Sequence[Row]) -> Counter[str]:
    """How many cases ended in each status."""
    return Counter(row["status"] for row in rows)


def settings_text(panels: Sequence[Panel | StackPanel]) -> str:
    """The settings of a picture; many are counted, not named."""
    names = list(dict.fromkeys(panel.setting.text() for panel in panels))
    return "; ".join(names) if len(names) <= MAX_SETTINGS else f"{len(names)} settings, each named at its panel"


def notes(panels: Sequence[Panel]) -> list[str]:
    """Why lines end, in words: one note for each status, with the settings where they differ."""
    found: dict[str, list[str]] = {}
    for panel in panels:
        ends: dict[str, list[str]] = {}
        for curve in panel.curves:
            if curve.end and len(panel.extents) > 1:  # dots carry their status in the picture
                ends.setdefault(curve.end[1], []).append(f"{curve.label} at {panel.setting.sweep.text(curve.end[0])}")
        for status, names in ends.items():
            sign = END_MARKS.get(status, OTHER_END)[1]
            found.setdefault(f"{sign} {status.replace('_', ' ')}: {', '.join(names)}", []).append(panel.brief)
        if panel.hidden:
            found.setdefault(f"{panel.hidden} more curves are in the table only", []).append(panel.brief)
    return [text if len(where) == len(panels) else f"{text} ({'; '.join(where)})" for text, where in found.items()]


def ceilings(metric: Metric, infos: Sequence[Info]) -> list[str]:
    """What each device reaches at best in this metric, as measured at the start of its run."""
    result = []
    for info in infos:
        found: Mapping[str, Mapping[str, float]] = (info.get("environment") or {}).get("ceilings") or {}
        where = "on this device" if len(infos) == 1 else f"on {device_of(info)} in run {run_of(info)}"
        if metric is BANDWIDTH and found:
            best = max(one["copy_gb_per_s"] for one in found.values())
            result.append(f"A large copy reaches {number(best)} GB/s {where}.")
        if metric is COMPUTE and found:
            rates = ", ".join(f"{number(one['product_tflop_per_s'])} TFLOP/s in {name}" for name, one in found.items())
            result.append(f"A large matrix product reaches {rates} {where}.")
    return result


def alternative(metric: Metric, panels: Sequence[Panel]) -> str:
    """The picture in one sentence with its numbers."""
    parts = []
    for panel in panels:
        curves = "; ".join(_spoken(curve, panel.setting.sweep) for curve in panel.curves if curve.points)
        parts.append(f"{panel.title}: {curves}" if len(panels) > 1 else curves)
    over = panels[0].setting.sweep.name.lower()
    return f"{metric.name_in(panels[0].setting)} in {metric.unit} over {over}. {'. '.join(parts)}."


def _spoken(curve: Curve, sweep: Sweep) -> str:
    first, last = curve.points[0], curve.points[-1]
    text = f"{curve.label} {number(first.value)} at {sweep.text(first.extent)}"
    if last is not first:
        text += f" to {number(last.value)} at {sweep.text(last.extent)}"
    return text + (f", then {curve.end[1].replace('_', ' ')}" if curve.end else "")


def key_figures(panels: Panels, counts: Mapping[str, int], marked: int) -> list[tuple[str, str]]:
    """Up to five (figure, what it is)."""
    found = [
        figure
        for metric in (KERNEL, LATENCY, THROUGHPUT, ACTIVATIONS, BANDWIDTH, EXTRA_MEMORY, PEAK, GMACS)
        if (figure := _figure(metric, panels))
    ]
    total, ok = sum(counts.values()), counts.get("ok", 0)
    failed = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in sorted(counts.items()) if status != "ok")
    cases = f"cases ended well{'; ' + failed if failed else ''}{f'; {marked} marked' if marked else ''}"
    return [*found[:4], (f"{ok:,} of {total:,}", cases)]


def _figure(metric: Metric, by_metric: Panels) -> tuple[str, str] | None:
    panels = by_metric.get(metric.column)
    if not panels:
        return None
    pair = find_pair(panels, metric)
    ours, theirs = (pair.ours.at(pair.extent), pair.theirs.at(pair.extent)) if pair else (None, None)
    if not metric.across or not pair or not ours or not theirs or min(ours.value, theirs.value) <= 0:
        return _plain_figure(metric, panels[0])
    beside = f"{pair.ours.label} beside {pair.theirs.label}, {pair.panel.setting.sweep.text(pair.extent)}"
    beside += f", {pair.panel.brief}" if len(panels) > 1 else ""
    ratio = ours.value / theirs.value
    name = metric.name.lower()
    if level(ours, theirs):
        return "equal", f"{name}, {beside}"
    if metric.is_time:
        return (times(1 / ratio), f"faster: {beside}") if ratio < 1 else (times(ratio), f"slower: {beside}")
    if metric is THROUGHPUT or ratio >= 1.995:
        return times(ratio) if ratio >= 1 else f"{ratio:.2f}x", f"{name}: {beside}"
    if metric is GMACS and ratio < 1:
        return times(1 / ratio), f"fewer multiply-adds: {beside}"
    sign = "\N{MINUS SIGN}" if ratio < 1 else "+"
    return f"{sign}{percent(abs(1 - ratio))}", f"{name}: {beside}"


def _plain_figure(metric: Metric, panel: Panel) -> tuple[str, str]:
    extent, curves = common_extent(panel)
    values = {curve.label: point.value for curve in curves if (point := curve.at(extent))}
    label = (max if metric.higher_is_better else min)(values, key=lambda name: values[name])
    kind = "highest" if metric.higher_is_better else "lowest"
    which = f"{kind} {metric.name.lower()}: {label}" if len(values) > 1 else f"{metric.name.lower()}: {label}"
    return f"{number(values[label])} {metric.unit}", f"{which}, {panel.setting.sweep.text(extent)}"
