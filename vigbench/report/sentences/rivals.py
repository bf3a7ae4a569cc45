"""Who is compared with whom, and whether the numbers tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vigbench.report.curves import CurvePoint, Panel, SubjectCurve
from vigbench.report.metrics import Metric
from vigbench.report.names import SIZES

TIE_SHARE = 0.005  # a smaller difference is none, whatever the intervals


@dataclass(frozen=True)
class Rivals:
    """ViG beside DeiT of the same size, or GLA beside attention, at one size that both reach in one setting."""

    panel: Panel
    extent: float
    ours: SubjectCurve
    theirs: SubjectCurve  # the best implementation: nobody deploys a slower one
    eager: SubjectCurve | None  # DeiT with materialised attention, as published figures measure it

    @property
    def points(self) -> tuple[CurvePoint, CurvePoint] | None:
        """Our value and theirs, where there is a ratio of them."""
        ours, theirs = self.ours.at(self.extent), self.theirs.at(self.extent)
        return (ours, theirs) if ours and theirs and min(ours.value, theirs.value) > 0 else None


def find_rivals(panels: Sequence[Panel], metric: Metric) -> Rivals | None:
    """The first rivals in the order of settings (most results first) and sizes (small models first)."""
    return next((rivals for panel in panels if (rivals := rivals_at(panel, metric, max))), None)


def rivals_at(panel: Panel, metric: Metric, choose: Callable[[set[float]], float]) -> Rivals | None:
    """The rivals of one setting, small models first, at the extent that `choose` takes of those that both reach."""
    for size in ("",) if panel.setting.shape else SIZES:
        ours = [c for c in panel.curves if c.family == "vig" and c.size == size and c.drawn]
        theirs = [c for c in panel.curves if c.family == "deit" and c.size == size and c.drawn]
        both = {p.extent for c in ours for p in c.points} & {p.extent for c in theirs for p in c.points}
        shared = {extent for extent in both if all(is_told(side, metric, extent) for side in (ours, theirs))}
        if shared:
            extent = choose(shared)
            reaching = {c.subject for c in ours if c.at(extent)}
            plain = min(reaching, key=lambda subject: (len(subject), subject))  # ViG before ViG-H
            our_best = best([c for c in ours if c.subject == plain], metric, extent)
            their_best = best(theirs, metric, extent)
            eager = next((c for c in theirs if c.implementation == "eager" and c is not their_best), None)
            return Rivals(panel, extent, our_best, their_best, eager)
    return None


def same_rivals(panels: Sequence[Panel], rivals: Rivals) -> Rivals | None:
    """The same two curves in another metric: one answer must not mix implementations."""
    panel = next((panel for panel in panels if panel.setting == rivals.panel.setting), None)
    if panel is None:
        return None
    found = {(curve.subject, curve.implementation): curve for curve in panel.curves}
    ours = found.get((rivals.ours.subject, rivals.ours.implementation))
    theirs = found.get((rivals.theirs.subject, rivals.theirs.implementation))
    eager = found.get((rivals.theirs.subject, "eager"))
    if not ours or not theirs:
        return None
    return Rivals(panel, rivals.extent, ours, theirs, eager if eager is not theirs else None)


def is_told(curves: Sequence[SubjectCurve], metric: Metric, extent: float) -> bool:
    """Whether the best value there is known: most carry a conclusion, and no disturbed one is better still."""
    better = max if metric.higher_is_better else min
    known = [point.value for curve in curves if (point := curve.at(extent))]
    lost = [point.value for curve in curves if (point := curve.left_out_at(extent))]
    return len(known) > len(lost) and better([*known, *lost]) in known


def disturbed_share(panels: Sequence[Panel]) -> str:
    """`20 of 25 cases were disturbed`."""
    text = count_disturbed(panels)
    return f"{text} {'was' if text.startswith('1 ') else 'were'} disturbed"


def count_disturbed(panels: Sequence[Panel]) -> str:
    """`20 of 25 cases`: those whose value was disturbed, of those that have one."""
    curves = [curve for panel in panels for curve in panel.curves]
    lost, count = sum(len(curve.left_out) for curve in curves), sum(len(curve.drawn) for curve in curves)
    return f"{lost:,} of {count:,} case{'s' * (count > 1)}"


def with_a_conclusion(panels: Sequence[Panel]) -> list[Panel]:
    """The panels in which a value carries a conclusion."""
    return [panel for panel in panels if any(curve.points for curve in panel.curves)]


def undivided(panel: Panel) -> Panel:
    """The panel as if nothing had been disturbed."""
    return replace(panel, curves=tuple(replace(curve, points=curve.drawn, left_out=()) for curve in panel.curves))


def best(curves: Sequence[SubjectCurve], metric: Metric, extent: float) -> SubjectCurve:
    """The curve with the best value at a resolution or length."""
    found = [(point.value, curve) for curve in curves if (point := curve.at(extent))]
    return (max if metric.higher_is_better else min)(found, key=lambda item: item[0])[1]


def tied(ours: CurvePoint, theirs: CurvePoint) -> bool:
    """Whether the data cannot tell the two apart: intervals overlap, or the difference is under half a percent."""
    if (
        ours.interval
        and theirs.interval
        and ours.interval[0] <= theirs.interval[1]
        and theirs.interval[0] <= ours.interval[1]
    ):
        return True
    return abs(ours.value - theirs.value) <= TIE_SHARE * abs(theirs.value)


def common_extent(panel: Panel) -> tuple[float, list[SubjectCurve]]:
    """The largest resolution or length that all curves with values reach, else the largest that any reaches.

    Of values that carry a conclusion; the panel has one.
    """
    curves = [curve for curve in panel.curves if curve.points]
    reached = [{point.extent for point in curve.points} for curve in curves]
    extent = max(set.intersection(*reached) or set.union(*reached))
    return extent, [curve for curve in curves if curve.at(extent)]
