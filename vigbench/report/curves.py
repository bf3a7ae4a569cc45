"""Curves over resolution or length as plain data, made from the rows of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vigbench.analysis.disturbance import LEFT_OUT
from vigbench.records.metrics import SOURCES
from vigbench.report.metrics import METRICS, OPERATOR_METRICS, PLOTTED, Metric
from vigbench.report.names import size_of
from vigbench.report.rows import Cases, Row, Setting, brief_texts
from vigbench.report.style import family_rank

MAX_CURVES, MAX_DOTS = 30, 60  # more cannot be read in one panel; the table has them all
MAX_PANELS, MAX_DRAWN = 24, 80  # in one picture: panels, and curves in all of them together


@dataclass(frozen=True)
class CurvePoint:
    """One value with its interval, where there is one; `extent` is a resolution in px, or a length in tokens."""

    extent: float
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class SubjectCurve:
    """One subject with one implementation in one setting.

    Attributes:
        points: the values that carry conclusions.
        failed: (extent, status) of each case without a value.
        left_out: disturbed values, which are drawn but carry no conclusion.
    """

    subject: str
    implementation: str
    family: str
    label: str
    points: tuple[CurvePoint, ...]
    failed: tuple[tuple[float, str], ...] = ()
    left_out: tuple[CurvePoint, ...] = ()

    @property
    def size(self) -> str:
        return size_of(self.subject)

    @property
    def drawn(self) -> tuple[CurvePoint, ...]:
        """Every value, disturbed ones too."""
        return tuple(sorted((*self.points, *self.left_out), key=lambda point: point.extent))

    @property
    def end(self) -> tuple[float, str] | None:
        """The first failure after the last value: why the curve ends."""
        last = max((point.extent for point in self.drawn), default=0)
        return next((failure for failure in self.failed if failure[0] > last), None)

    def at(self, extent: float) -> CurvePoint | None:
        """The value at a resolution or length, where one carries a conclusion."""
        return next((point for point in self.points if point.extent == extent), None)

    def left_out_at(self, extent: float) -> CurvePoint | None:
        """The disturbed value at a resolution or length."""
        return next((point for point in self.left_out if point.extent == extent), None)


@dataclass(frozen=True)
class Panel:
    """All curves of one setting."""

    setting: Setting
    curves: tuple[SubjectCurve, ...]
    title: str = ""
    hidden: int = 0  # curves left out because there are too many
    brief: str = ""  # what tells its setting from those of the other panels

    @property
    def extents(self) -> tuple[float, ...]:
        """All that have a value, disturbed or not."""
        return tuple(sorted({point.extent for curve in self.curves for point in curve.drawn}))


Panels = Mapping[str, Sequence[Panel]]  # by metric column


def all_panels(cases: Cases) -> Panels:
    """The panels of every metric that gets a plot; empty where there is no value."""
    return {metric.column: panels(cases, metric) for metric in PLOTTED}


def panels(cases: Cases, metric: Metric) -> list[Panel]:
    """One panel for each setting that has values of this metric; of values of several kinds, those of the commonest."""
    result = []
    for setting, group in cases.groups.items():
        if metric not in (OPERATOR_METRICS if setting.shape else METRICS):
            continue
        series: dict[tuple[str, str], list[Row]] = {}
        for row in sorted(_of_one_kind(group, metric), key=lambda row: row["extent"]):
            series.setdefault((row["subject"], row["implementation"]), []).append(row)
        curves = [_curve(members, metric) for members in series.values()]
        if metric.counted:
            curves = _merge_implementations(curves, {row["subject"]: row["name"] for row in group})
        if any(curve.drawn for curve in curves):
            curves.sort(key=_order)
            result.append(Panel(setting, tuple(curves), setting.text()))
    return with_brief(_merge_equal(result) if metric.counted else result)


def _of_one_kind(group: Sequence[Row], metric: Metric) -> list[Row]:
    """Without the values that do not compare with most of the others; cases without a value stay."""
    kinds = Counter(_kind(row, metric) for row in group if row[metric.column] is not None)
    return [row for row in group if row[metric.column] is None or _kind(row, metric) == kinds.most_common(1)[0][0]]


def _kind(row: Row, metric: Metric) -> object:
    return row.get(SOURCES[metric.column]) if metric.column in SOURCES else None


def with_brief(found: Sequence[Panel]) -> list[Panel]:
    """The panels, each with what tells it from the others."""
    brief = brief_texts([panel.setting for panel in found])
    return [replace(panel, brief=brief[panel.setting]) for panel in found]


def readable(found: Sequence[Panel]) -> list[Panel]:
    """What a picture can hold; a sentence is computed from all."""
    result = []
    for panel in found[:MAX_PANELS]:
        most = MAX_CURVES if len(panel.extents) > 1 else MAX_DOTS  # of one size: a line of its own for each
        result.append(replace(panel, curves=panel.curves[:most], hidden=max(0, len(panel.curves) - most)))
    return result[: most_panels([len(panel.curves) for panel in result])]


def most_panels(curves: Sequence[int]) -> int:
    """How many panels with so many curves each go into one picture: at least one."""
    total = 0
    for index, count in enumerate(curves[:MAX_PANELS]):
        total += count
        if index and total > MAX_DRAWN:
            return index
    return min(len(curves), MAX_PANELS)


def interval_of(row: Row, metric: Metric) -> tuple[float, float] | None:
    """The 95% interval of a value, where there is one."""
    low, high = (row[name] if name else None for name in (metric.low, metric.high))
    return (low, high) if low is not None and high is not None else None


def _curve(members: list[Row], metric: Metric) -> SubjectCurve:
    points: list[CurvePoint] = []
    left_out: list[CurvePoint] = []
    failed = []
    for row in members:
        value = row[metric.column]
        if value is not None and (row["status"] == "ok" or metric.counted):
            place = left_out if metric.column in row[LEFT_OUT] else points
            place.append(CurvePoint(row["extent"], value, interval_of(row, metric)))
        elif row["status"] != "ok" and not metric.counted:
            failed.append((row["extent"], row["status"]))
    first = members[0]
    name = (first["subject"], first["implementation"], first["family"], first["label"])
    return SubjectCurve(*name, tuple(points), tuple(failed), tuple(left_out))


def _order(curve: SubjectCurve) -> tuple[int, str, str]:
    return (family_rank(curve.family), curve.subject, curve.implementation)


def _merge_implementations(curves: list[SubjectCurve], names: Mapping[str, str]) -> list[SubjectCurve]:
    """A count is the same for every implementation: draw it once, unless the values really differ."""
    by_subject: dict[str, list[SubjectCurve]] = {}
    for curve in curves:
        by_subject.setdefault(curve.subject, []).append(curve)
    result: list[SubjectCurve] = []
    for subject, own in by_subject.items():
        values = {point.extent: point for curve in own for point in curve.drawn}
        if all(values[point.extent] == point for curve in own for point in curve.drawn):
            unsound = {point.extent for curve in own for point in curve.left_out}
            points = tuple(values[extent] for extent in sorted(values) if extent not in unsound)
            left_out = tuple(values[extent] for extent in sorted(unsound))
            result.append(SubjectCurve(subject, "default", own[0].family, names[subject], points, (), left_out))
        else:
            result += own
    return result


def _merge_equal(found: list[Panel]) -> list[Panel]:
    """Counts mostly do not depend on the setting: equal panels become one."""
    groups: dict[tuple[SubjectCurve, ...], list[Panel]] = {}
    for panel in found:
        groups.setdefault(panel.curves, []).append(panel)
    if len(groups) == 1 and len(found) > 1:
        return [replace(found[0], title="the same in every setting")]
    return [
        replace(group[0], title=f"{group[0].title}, and {len(group) - 1} more") if len(group) > 1 else group[0]
        for group in groups.values()
    ]
