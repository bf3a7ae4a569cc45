"""Memory over one iteration: what it holds beyond weights and inputs, with the peak and the modules named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vigbench.records.profile import MemoryRow, ProfileRecord
from vigbench.report.figures.axes import quiet, value_axis
from vigbench.report.figures.sheet import Cell, compose, share_of, write
from vigbench.report.figures.text import shorten, text_width
from vigbench.report.metrics import number
from vigbench.report.profile.text import module_name, name_in_title, subtitle
from vigbench.report.sentences.captions import Caption
from vigbench.report.style import GRID, INK, LEADER, MUTED, colours

WIDTH, PLOT, ABOVE, STRIP, BELOW = 480.0, 190.0, 16.0, 13.0, 48.0  # points
MOST_STEPS = 3000


@dataclass(frozen=True)
class Stretch:
    """A time during which all allocations come from one part of the model; milliseconds."""

    part: str
    begin: float
    end: float


def stretches(rows: Sequence[MemoryRow]) -> list[Stretch]:
    """The parts of the model in the order of time: the first name, with the number of a repeated one.

    What belongs to no module belongs to the part before it.
    """
    found: list[Stretch] = []
    for row in rows:
        part = _part(row.module)
        if found and (found[-1].part == part or part.startswith("(")):
            found[-1] = Stretch(found[-1].part, found[-1].begin, row.time_ms)
        else:
            if found:
                found[-1] = Stretch(found[-1].part, found[-1].begin, row.time_ms)
            found.append(Stretch(part, row.time_ms, row.time_ms))
    return found


def _part(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: 2 if len(parts) > 1 and parts[1].isdecimal() else 1])


def draw_memory(record: ProfileRecord) -> Figure | None:
    """The picture; None where nothing was allocated. Call it inside `look`."""
    if not record.memory:
        return None
    totals = record.info["totals"]
    base = totals["weights_mib"] + totals["inputs_mib"]
    peak = max(record.memory, key=lambda row: row.live_mib)
    where = f"in {name_in_title(peak.module)}" if not peak.module.startswith("(") else peak.module.strip("()")
    backward = " of the backward pass" if peak.phase == "backward" and not peak.module.startswith("(") else ""
    operator = f" ({name_in_title(peak.operator)})" if peak.operator else ""
    title = f"Memory peaks {where}{operator}{backward}: {number(peak.live_mib - base)} MiB beyond weights and inputs"
    note = (
        f"Below the line lie weights ({number(totals['weights_mib'])} MiB) and inputs "
        f"({number(totals['inputs_mib'])} MiB); peak with them {number(peak.live_mib)} MiB. Live bytes of torch's "
        "allocator in one iteration; the time is that under the profiler. The strip names the part of the model that "
        "allocates, where room is short by its number."
    )
    caption = Caption(title, subtitle(record.info), [note])
    return compose([Cell("", lambda _: ABOVE + PLOT + BELOW, partial(_draw, record, base, peak))], WIDTH, caption)


def _draw(
    record: ProfileRecord, base: float, peak: MemoryRow, figure: Figure, corner: tuple[float, float], width: float
) -> None:
    x, y = corner
    write(figure, x, y - 9, "Memory beyond weights and inputs (MiB)", 8.0, "normal", MUTED)
    shown = _thinned(record.memory)
    times = [0.0, *(row.time_ms for row in shown)]
    live = [0.0, *(row.live_mib - base for row in shown)]
    highest = max(*live, 1e-6)
    left = max(34.0, text_width(number(highest)) + 10)
    place = (x + left, y - ABOVE - PLOT, width - left - 8, PLOT)
    axes = figure.add_axes(share_of(figure, place), label="memory")
    quiet(axes)
    value_axis(axes, [min(live), highest * 1.06])
    end = max(times[-1], 1e-6)
    axes.set_xlim(0, end)
    colour = colours(record.info["family"])
    axes.fill_between(times, live, step="post", color=colour.line, alpha=0.18, linewidth=0, zorder=2)
    axes.step(times, live, where="post", color=colour.line, linewidth=1.1, zorder=3)
    _mark_peak(axes, (peak.time_ms, peak.live_mib - base), end, place[2], peak)
    _strip(axes, stretches(record.memory), end, place[2])
    axes.tick_params(axis="x", pad=STRIP + 6)
    write(figure, x + left + place[2] / 2, y - ABOVE - PLOT - BELOW + 8, "time (ms)", 8.0, "normal", MUTED, "center")


def _thinned(rows: Sequence[MemoryRow]) -> list[MemoryRow]:
    """Of many rows the lowest and the highest of each short time: no picture shows more."""
    if len(rows) <= MOST_STEPS:
        return list(rows)
    bins: dict[int, list[MemoryRow]] = {}
    for row in rows:
        bins.setdefault(int(MOST_STEPS / 2 * row.time_ms / (rows[-1].time_ms or 1.0)), []).append(row)
    return [
        row
        for members in bins.values()
        for row in sorted({min(members, key=_live), max(members, key=_live), members[-1]}, key=lambda row: row.time_ms)
    ]


def _live(row: MemoryRow) -> float:
    return row.live_mib


def _mark_peak(axes: Axes, at: tuple[float, float], end: float, width: float, peak: MemoryRow) -> None:
    text = shorten(f"{number(at[1])} MiB: {module_name(peak.module)}", width * 0.7)
    on_right = width * at[0] / end + text_width(text) + 12 <= width
    shift, align = ((7, 4), "left") if on_right else ((-7, 4), "right")
    axes.plot(*at, marker="o", markersize=4.5, color=INK, zorder=6, clip_on=False)
    axes.annotate(text, at, xytext=shift, textcoords="offset points", ha=align, color=INK, annotation_clip=False)


def _strip(axes: Axes, found: Sequence[Stretch], end: float, width: float) -> None:
    """A row below the axis: one box for each stretch, its name where there is room."""
    height = STRIP / PLOT
    wide = [(box, width * (box.end - box.begin) / end) for box in found]
    wide = [(box, across) for box, across in wide if across >= 0.5]
    short = any(_fits(_number(box.part), across) and not _fits(box.part, across) for box, across in wide)
    for index, (box, across) in enumerate(wide):
        axes.axvspan(
            box.begin, box.end, -height - 0.01, -0.01, color=(GRID, LEADER)[index % 2], linewidth=0, clip_on=False
        )
        text = module_name(_number(box.part) if short else box.part)
        name = text if _fits(text, across) else ""
        axes.text(
            (box.begin + box.end) / 2, -0.01 - height / 2, name, transform=axes.get_xaxis_transform(), fontsize=7.0,
            color=INK, ha="center", va="center_baseline", clip_on=False,
        )  # fmt: skip


def _number(part: str) -> str:
    """The number of a repeated module, or what names another."""
    return part.rpartition(".")[2] or part


def _fits(text: str, width: float) -> bool:
    return text_width(module_name(text), 7.0) + 3 <= width
