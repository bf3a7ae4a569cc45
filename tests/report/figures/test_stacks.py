"""A training step's parts: which bars there are, what is said of them, and that every word has its place."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from vigbench.records.schema import Record, Status
from vigbench.report import write_page
from vigbench.report.figures.all import PANEL, PAPER
from vigbench.report.figures.sheet import compose, look
from vigbench.report.figures.stacks import stack_cells
from vigbench.report.rows import read_cases
from vigbench.report.sentences.captions import Caption
from vigbench.report.sentences.stacks import stack_alternative, stack_title
from vigbench.report.stacks import STACKS, STEP_MEMORY, STEP_TIME, Stack, stack_panels
from vigbench.suites.case import Case

MODELS = (
    ("vig_small_patch16_224", "vig", "torch_chunk", 3.0),
    ("vig_tiny_patch16_224", "vig", "torch_chunk", 1.0),
    ("deit_tiny_patch16_224", "deit", "eager", 0.9),
    ("deit_tiny_patch16_224", "deit", "sdpa", 0.7),
)


@pytest.fixture
def steps(make_record: Any) -> list[Record]:
    """Training steps at two resolutions: backward twice forward, the optimiser a fixed 30 ms."""
    records = []
    for px in (224, 512):
        for subject, family, implementation, scale in MODELS:
            forward, activations = 100 * scale * (px / 224) ** 2, 200 * scale * (px / 224) ** 2
            settings = {"implementation": implementation, "phase": "training_step", "batch_size": 4}
            one = make_record(subject, family, px, latency=3 * forward + 25, memory=activations, **settings)
            values = {
                "forward_ms": forward, "backward_ms": 2 * forward, "optimizer_ms": 30.0, "weights_mib": 20.0,
                "optimizer_state_mib": 40.0, "gradients_mib": 20.0, "gradients_at_peak_mib": 7.0, "inputs_mib": 2.0,
            }  # fmt: skip
            records.append(one.model_copy(update={"metrics": one.metrics.model_copy(update=values)}))
    return records


def test_a_panel_for_each_resolution_small_models_first(steps: list[Record], make_frame: Any) -> None:
    first, second = stack_panels(read_cases(make_frame(steps)), STEP_TIME)
    assert (first.size, second.size) == ("224 px", "512 px")
    assert first.title == "224 px, float32, batch 4, training step"
    assert [bar.label for bar in first.bars] == ["ViG-T", "ViG-S", "DeiT-T (eager)", "DeiT-T (sdpa)"]
    assert first.bars[0].values == (100.0, 200.0, 30.0)
    assert first.bars[0].whole == 325.0
    (memory, _) = stack_panels(read_cases(make_frame(steps)), STEP_MEMORY)
    assert memory.bars[0].values == (20.0, 40.0, 7.0, 2.0, 200.0)
    assert memory.bars[0].whole is None, "the parts add up to it"


def test_only_training_steps_that_ended_well_have_bars(
    steps: list[Record], make_sweep: Any, make_record: Any, make_frame: Any
) -> None:
    failed = make_record("resnet50", "cnn", 224, status=Status.timeout, phase="training_step", batch_size=4)
    graph = make_record("resnet50", "cnn", 512, phase="training_step", batch_size=4)  # whole, without parts
    cases = read_cases(make_frame([*make_sweep(), *make_sweep(phase="training"), *steps, failed, graph]))
    for stack in STACKS:
        assert [len(panel.bars) for panel in stack_panels(cases, stack)] == [4, 4]
        assert stack_panels(read_cases(make_frame(make_sweep())), stack) == []


def test_the_title_has_the_shares_and_the_picture_is_told_in_words(steps: list[Record], make_frame: Any) -> None:
    panels = stack_panels(read_cases(make_frame(steps)), STEP_TIME)
    # 200 / 330 for ViG-T, 600 / 930 for ViG-S, 140 / 240 for DeiT-T (sdpa); 30 of 930 to 30 of 240
    assert stack_title(STEP_TIME, panels[:1]) == (
        "At 224 px the backward pass takes 58% to 65% of a training step, the optimiser 3% to 12%"
    )
    assert stack_title(STEP_TIME, panels).startswith("At 224 px (float32, batch 4, training step) the backward")
    memory = stack_panels(read_cases(make_frame(steps[1:2])), STEP_MEMORY)
    assert stack_title(STEP_MEMORY, memory) == (
        "At 224 px activations are 74% of the peak memory, the optimiser's state 15%"
    )
    words = stack_alternative(STEP_TIME, panels)
    assert "ViG-T forward pass 100, backward pass 200, optimiser 30.0" in words


@pytest.mark.parametrize("width", [PANEL, PAPER])
@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.name)
@pytest.mark.parametrize("several", [False, True])
def test_no_text_covers_another(
    steps: list[Record], make_frame: Any, stack: Stack, width: float, several: bool
) -> None:
    panels = stack_panels(read_cases(make_frame(steps)), stack)[: 1 + several]
    caption = Caption("A title", "a subtitle", ["a note"]) if width == PAPER else None
    with look(text_as_paths=True):
        figure = compose(stack_cells(stack, panels), width, caption)
        canvas = figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        canvas.draw()
        shown = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
        # DejaVu reserves room above and below its glyphs that no Latin letter uses
        found = [text.get_window_extent(canvas.get_renderer()).padded(0, -1.5) for text in shown if text.get_visible()]
    assert len(found) > 15
    assert not [(a, b) for a, b in combinations(found, 2) if a.overlaps(b) and min(a.width, b.width) > 0]
    page = figure.bbox.padded(2)
    assert all(page.contains(*box.min) and page.contains(*box.max) for box in found)


def test_bars_are_as_long_as_their_values(steps: list[Record], make_frame: Any) -> None:
    (panel, _) = stack_panels(read_cases(make_frame(steps)), STEP_TIME)
    with look(text_as_paths=True):
        (axes,) = compose(stack_cells(STEP_TIME, [panel]), PAPER).axes
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    drawn = [(bar.get_x(), bar.get_width()) for bar in bars]
    assert drawn[:3] == [(0.0, 100.0), (100.0, 200.0), (300.0, 30.0)]
    assert len({bar.get_alpha() for bar in bars}) == 3, "every part has its tint"


@pytest.mark.slow
def test_the_page_has_both_pictures_and_says_how_to_read_them(
    steps: list[Record], make_sweep: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path
) -> None:
    page = write_page(make_frame(steps), run_info, tmp_path).read_text(encoding="utf-8")
    assert "At 224 px (float32, batch 4, training step) the backward pass takes 58% to 65%" in page
    assert "<dt>Training step</dt>" in page
    for head in ("Forward", "Backward", "Optimiser", "Gradients", "Optimiser state"):
        assert f">{head} <small>" in page
    files = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"training_step_ms.png", "training_step_ms.svg", "training_step_mib.png", "training_step_mib.svg"} <= files
    page = write_page(make_frame(make_sweep()), run_info, tmp_path).read_text(encoding="utf-8")
    assert "Training step" not in page
    assert not [file for file in (tmp_path / "figures").iterdir() if file.name.startswith("training_step")]


@pytest.mark.slow
def test_one_page_holds_training_steps_and_operators(
    steps: list[Record], make_record: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path
) -> None:
    case = Case(subject="gla", implementation="torch_chunk", length=196, heads=3, key_dim=32, value_dim=64)
    one = make_record("vig_tiny_patch16_224", "vig", 224)
    metrics = one.metrics.model_copy(update={"achieved_gb_per_s": 12.5})
    operator = one.model_copy(update={"case_id": case.case_id, "case": case, "metrics": metrics})
    frame = make_frame([*steps, operator])
    assert [len(panel.bars) for panel in stack_panels(read_cases(frame), STEP_TIME)] == [4, 4]
    page = write_page(frame, run_info, tmp_path).read_text(encoding="utf-8")
    for found in (
        "<dt>Training step</dt>",
        "<dt>Achieved bandwidth</dt>",
        "3 heads of 32/64",
        "float32, batch 4, training step",
    ):
        assert found in page, found
    assert {"training_step_ms.png", "achieved_gb_per_s.png"} <= {file.name for file in (tmp_path / "figures").iterdir()}


def test_disturbed_steps_are_said_to_be_and_have_no_share(steps: list[Record], make_frame: Any) -> None:
    some = [one.model_copy(update={"marks": ("contended",) * (one.case.implementation == "sdpa")}) for one in steps]
    first, _ = stack_panels(read_cases(make_frame(some)), STEP_TIME)
    assert [bar.disturbed for bar in first.bars] == [False, False, False, True]
    every = stack_panels(read_cases(make_frame(steps).assign(marks="contended")), STEP_TIME)
    assert stack_title(STEP_TIME, every).endswith("its shares cannot be told, since every case was disturbed")
    memory = stack_panels(read_cases(make_frame(steps).assign(marks="contended")), STEP_MEMORY)
    assert "activations are" in stack_title(STEP_MEMORY, memory)
