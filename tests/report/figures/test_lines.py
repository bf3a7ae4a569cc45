"""Pictures: labels apart, colours readable, the same bytes for the same input."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from vigbench.records.schema import Status
from vigbench.report.curves import panels
from vigbench.report.figures.all import PANEL, PAPER
from vigbench.report.figures.axes import log_ticks, spaced
from vigbench.report.figures.curves import curve_cells
from vigbench.report.figures.labels import spread
from vigbench.report.figures.sheet import compose, look
from vigbench.report.figures.svg import ENDINGS, inline, save
from vigbench.report.metrics import LATENCY, METRICS, Metric
from vigbench.report.rows import read_cases
from vigbench.report.sentences.captions import Caption
from vigbench.report.style import FAMILY_COLOURS, MUTED, theme


def picture(frame: Any, metric: Metric = LATENCY, width: float = PAPER, caption: Caption | None = None) -> Figure:
    return compose(curve_cells(metric, panels(read_cases(frame), metric)), width, caption)


def texts(figure: Figure) -> list[Text]:
    figure.draw_without_rendering()  # tick labels have no text before
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]


def boxes(figure: Figure, found: list[Text]) -> list[Any]:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return [text.get_window_extent(canvas.get_renderer()) for text in found]


@pytest.mark.parametrize("width", [PANEL, PAPER])
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.column)
@pytest.mark.parametrize("resolutions", [(224, 384, 512, 768, 1024), (224,)], ids=["lines", "dots"])
def test_no_text_covers_another(
    make_sweep: Any, make_frame: Any, metric: Metric, width: float, resolutions: tuple[int, ...]
) -> None:
    records = [*make_sweep(resolutions), *make_sweep(resolutions, precision="bfloat16")]
    with look(text_as_paths=True):
        figure = picture(make_frame(records), metric, width)
        # DejaVu reserves room above and below its glyphs that no Latin letter uses
        found = [box.padded(0, -1.5) for box in boxes(figure, texts(figure))]
    assert len(found) > 10
    assert not [(a, b) for a, b in combinations(found, 2) if a.overlaps(b) and min(a.width, b.width) > 0]
    page = figure.bbox.padded(2)
    assert all(page.contains(*box.min) and page.contains(*box.max) for box in found)


def test_thirty_curves_that_end_at_one_place_stay_apart(make_record: Any, make_frame: Any) -> None:
    records = [make_record(f"model_{i:02}", "other", px, latency=float(px)) for i in range(30) for px in (224, 512)]
    with look(text_as_paths=True):
        figure = picture(make_frame(records))
        found = boxes(figure, [text for text in texts(figure) if text.get_gid() == "label"])
    assert len(found) == 30
    assert not [(a, b) for a, b in combinations(found, 2) if a.padded(-1).overlaps(b.padded(-1))]


def test_spread_keeps_order_distance_and_limits() -> None:
    wanted = [50.0, 51.0, 52.0, 99.0, 1.0]
    places = spread(wanted, 10, 0, 100)
    assert np.argsort(places).tolist() == np.argsort(wanted).tolist()
    assert np.diff(sorted(places)).min() >= 10 - 1e-9
    assert min(places) >= 0
    assert max(places) <= 100
    assert spread([10.0, 90.0], 10, 0, 100) == [10.0, 90.0]  # where nothing touches, nothing moves


def test_resolution_ticks_are_real_and_never_too_close() -> None:
    assert spaced([224, 240, 256, 512], 1.1) == [224, 256, 512]
    assert spaced([224, 384, 512, 768, 1024], 1.05) == [224, 384, 512, 768, 1024]


@pytest.mark.parametrize(("low", "high"), [(1, 10.4), (9.5, 99), (0.02, 3), (1, 1e6), (30, 2000)])
def test_log_axes_have_enough_ticks(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 3 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)


def test_a_cross_stands_on_the_last_value_before_memory_ran_out(make_sweep: Any, make_frame: Any) -> None:
    with look(text_as_paths=True):
        axes = picture(make_frame(make_sweep())).axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    area = (768 / 224) ** 2
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses] == [
        (768, pytest.approx(9 * area + 3 * area**2))
    ]


def test_a_line_breaks_where_a_case_failed(make_record: Any, make_frame: Any) -> None:
    records = [
        make_record("resnet50", "cnn", px, status=Status.error if px == 384 else Status.ok) for px in (224, 384, 512)
    ]
    with look(text_as_paths=True):
        axes = picture(make_frame(records)).axes[0]
    (line,) = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False]
    (band,) = [patch for patch in axes.collections if isinstance(patch, PolyCollection)]
    assert all(len({x for x, _ in path.vertices}) == 1 for path in band.get_paths())  # no band spans the gap


def test_a_picture_alone_names_device_precision_batch_and_run(make_sweep: Any, make_frame: Any, tmp_path: Path) -> None:
    caption = Caption("Finding", "float32, batch 1 · Demo CPU · run demo", ["a note"])
    with look(text_as_paths=True):
        shown = {text.get_text() for text in texts(picture(make_frame(make_sweep()), width=PAPER, caption=caption))}
    assert {"Finding", caption.subtitle, "a note"} <= shown


def test_the_same_input_gives_the_same_bytes(make_sweep: Any, make_frame: Any, tmp_path: Path) -> None:
    frame = make_frame(make_sweep())
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        with look(text_as_paths=True):
            save(picture(frame), tmp_path / name, "latency")
    for ending in ENDINGS:
        first, second = ((tmp_path / name / f"latency.{ending}").read_bytes() for name in ("first", "second"))
        assert first == second


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "$x^2$ $\\frac",
    "--><b>",
    'id="x"',
    "a\x00\x1bb",
]


def test_hostile_names_stay_text_in_an_inlined_picture(make_record: Any, make_frame: Any) -> None:
    records = [make_record(name, "other", px, latency=float(px)) for name in HOSTILE for px in (224, 512)]
    with look(text_as_paths=False):
        root = ET.fromstring(inline(picture(make_frame(records)), "x").replace("xlink:href", "href"))
    shown = {element.text for element in root.iter() if element.tag == "text"}
    assert set(HOSTILE[:-1]) <= shown
    assert "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b" in shown
    assert {element.tag for element in root.iter()} <= {"svg", "g", "path", "text", "defs", "use", "clipPath", "rect"}


def test_every_colour_of_an_inlined_picture_follows_the_theme(make_sweep: Any, make_frame: Any) -> None:
    with look(text_as_paths=False):
        text = inline(picture(make_frame(make_sweep())), "x")
    assert "var(--vig)" in text
    assert not [colour for colour in theme() if colour in text]


def luminance(colour: str) -> float:
    channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("family", FAMILY_COLOURS)
def test_label_colours_meet_wcag_aa(family: str) -> None:
    colour = FAMILY_COLOURS[family]
    assert contrast(colour.text, "#ffffff") >= 4.5
    assert contrast(colour.dark_text, "#151519") >= 4.5
    assert contrast(MUTED, "#ffffff") >= 4.5
    assert contrast(colour.dark_line, "#151519") >= 3
    assert contrast(colour.line, "#ffffff") >= 3


@pytest.mark.parametrize("resolutions", [(224, 384, 512), (224,)], ids=["lines", "dots"])
def test_disturbed_values_are_hollow_and_the_others_filled(
    make_record: Any, make_frame: Any, resolutions: tuple[int, ...]
) -> None:
    records = [
        make_record(name, "vig", px, latency=scale * px, marks=("contended",) * (px == 224 and scale == 2))
        for scale, name in ((1, "vig_tiny_patch16_224"), (2, "vig_small_patch16_224"))
        for px in resolutions
    ]
    with look(text_as_paths=True):
        figure = picture(make_frame(records))
    (axes,) = figure.axes
    hollow, filled = [], []
    for line in axes.get_lines():
        if line.get_marker() in ("o", "s"):
            points = list(np.asarray(line.get_xydata()))
            every = line.get_markevery()
            places = range(len(points)) if every is None else every
            (hollow if line.get_markerfacecolor() == "none" else filled).extend(points[place] for place in places)
    assert len(hollow) == 1
    assert len(filled) == 2 * len(resolutions) - 1
    assert 2 * 224 in hollow[0]
