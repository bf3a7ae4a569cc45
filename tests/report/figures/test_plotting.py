"""Pictures from a frame: what is drawn is what the frame holds."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

import vigbench
from vigbench.published import all_published
from vigbench.report.figures.plotting import plot_curves, plot_scatter, published_values


def texts(figure: Figure) -> list[str]:
    inside = [text.get_text() for axes in figure.axes for text in axes.texts]
    return [text.get_text() for text in figure.texts] + inside


@pytest.fixture
def frame(make_frame: Any, make_sweep: Callable[..., Any]) -> pd.DataFrame:
    found: pd.DataFrame = make_frame(make_sweep())
    return found


def test_curves_say_what_they_show_and_where_it_was_measured(frame: pd.DataFrame) -> None:
    figure = plot_curves(frame)
    shown = texts(figure)
    assert shown[0].startswith("At 1024 px ViG-T is")
    assert any("Demo CPU (2 threads)" in text for text in shown)
    assert {"ViG-T", "Vim-T", "DeiT-T (sdpa)"} <= set(shown)
    (axes,) = figure.axes
    vig = frame[frame["subject"] == "vig_tiny_patch16_224"]
    drawn = [list(map(float, line.get_ydata())) for line in axes.lines]
    assert sorted(vig["latency_ms"]) in drawn


def test_rows_that_are_left_out_and_a_title_of_one_s_own_are_respected(frame: pd.DataFrame) -> None:
    figure = plot_curves(frame[frame["family"] == "vig"], "gmacs", title="My title", width=400)
    assert texts(figure)[0] == "My title"
    assert "Vim-T" not in texts(figure)
    assert figure.get_size_inches()[0] == pytest.approx((400 + 28) / 72)


def test_a_csv_file_is_enough(frame: pd.DataFrame) -> None:
    text = frame.drop(columns=["run", "suite", "protocol", "device_name", "torch_version"]).to_csv(index=False)
    again = pd.read_csv(BytesIO(text.encode()))
    assert "ViG-T" in texts(plot_curves(again, "activation_memory_mib"))


@pytest.mark.parametrize(
    ("change", "metric", "message"),
    [
        (lambda one: one, "latency", r"no plot of 'latency'.*Choose latency_ms"),
        (lambda one: one, "kernel_ms", "has no value of kernel_ms"),
        (lambda one: one.drop(columns=["subject"]), "latency_ms", "no column subject"),
    ],
)
def test_what_cannot_be_drawn_is_refused(frame: pd.DataFrame, change: Any, metric: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_curves(change(frame), metric)


def test_a_scatter_has_a_dot_for_each_row_with_both_numbers(frame: pd.DataFrame) -> None:
    at_224 = frame[frame["resolution"] == 224].merge(published_values(), on="subject")
    figure = plot_scatter(at_224, "latency_ms", "published_top1_percent", title="T", names=("Latency, ms", "Top-1, %"))
    (axes,) = figure.axes
    drawn = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines}
    assert drawn == set(zip(at_224["latency_ms"], at_224["published_top1_percent"], strict=True))
    assert {"T", "Latency, ms", "Top-1, %", "ViG-T"} <= set(texts(figure))


def test_names_in_a_scatter_cover_no_dot(frame: pd.DataFrame) -> None:
    crowd = pd.DataFrame(
        [{"subject": f"net_{i}", "family": "other", "x": 1 + i % 7, "y": 1 + i // 7 * 0.1} for i in range(49)]
    )
    figure = plot_scatter(crowd, "x", "y", title="T")
    canvas: Any = figure.canvas
    canvas.draw()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    dots = axes.transData.transform([(row.x, row.y) for row in crowd.itertuples()])
    assert boxes
    assert not any(box.contains(*dot) for box in boxes for dot in dots)
    assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])


def test_hostile_names_stay_text(make_frame: Any, make_record: Any) -> None:
    hostile = "$\\frac{a}{b}$ <b>&\x00"
    frame = make_frame([make_record(hostile, "other", px) for px in (224, 512)])
    assert any("$\\frac{a}{b}$" in text for text in texts(plot_curves(frame)))
    buffer = BytesIO()
    plot_scatter(frame, "latency_ms", "gmacs", title="T").savefig(buffer, format="svg")
    assert b"<b>" not in buffer.getvalue()


def test_empty_or_missing_columns_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no column speed"):
        plot_scatter(frame, "speed", "gmacs", title="")
    with pytest.raises(ValueError, match="both kernel_ms and gmacs"):
        plot_scatter(frame, "kernel_ms", "gmacs", title="")


def test_published_values_are_those_of_the_table() -> None:
    frame = vigbench.published_values().set_index("subject")
    assert list(frame.index) == [values.subject for values in all_published()]
    assert frame.loc["swin_unetr", "published_resolution"].tolist() == [96, 128]
    assert frame.loc["vig_tiny_patch16_224", "published_top1_percent"] == 77.2
    assert frame.loc["vig_tiny_patch16_224", "published_resolution"] == 224
    assert frame.loc["dit_xlarge_patch2", "published_resolution"] == 256
    assert pd.isna(frame.loc["vig_base_patch16_224", "published_gmacs"])
    assert frame.loc["vim_small_patch16_224", "name"] == "Vim-S"
