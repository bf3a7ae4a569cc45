"""The pictures of a profile: what they say, what they show, and that every word has its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from vigbench.records.profile import CostRow, MemoryRow, ModuleRow, ProfileRecord
from vigbench.report.figures.sheet import look
from vigbench.report.profile import write_figures
from vigbench.report.profile.memory import draw_memory, stretches
from vigbench.report.profile.modules import draw_modules, largest_groups
from vigbench.report.profile.points import bounded_shares, module_points, moving_points, operator_points
from vigbench.report.profile.roofline import draw_roofline
from vigbench.report.profile.text import disturbance, subtitle, uncounted
from vigbench.suites.case import Case

pytestmark = pytest.mark.slow

HOSTILE = '</svg><script>alert(1)</script> $x_1$ \x07 & "x"'
Draw = Callable[[ProfileRecord], Figure | None]


def cost(operator: str, group: str, ms: float, gmacs: float, moved_mib: float, phase: str = "forward") -> CostRow:
    """Ceilings are 100 GFLOP/s and 10 GB/s; an iteration takes 100 ms."""
    rate, bandwidth = 2 * gmacs / ms, moved_mib * 2**20 / 1e6 / ms
    intensity = 2e9 * gmacs / (moved_mib * 2**20) if moved_mib else 0.0
    return CostRow(
        operator, group, phase, 12.0, ms / 100, ms, gmacs, moved_mib, intensity, rate, bandwidth, rate / 0.1,
        bandwidth / 10, 0.0, 0.0, max(2 * gmacs / 0.1, moved_mib * 2**20 / 1e7), "memory",
    )  # fmt: skip


def module(path: str, own: float, inner: float = 0.0, name: str = "Linear") -> ModuleRow:
    group = path.replace(".0", ".*").replace(".1", ".*")
    return ModuleRow(path, group, name, 1.0, own / 100, own + inner, own, own * 0.9, 0.0, own * 0.1, 4.0, 1.0, 2.0)


@pytest.fixture
def record() -> ProfileRecord:
    """100 ms: two blocks with a product and an activation each, and a norm."""
    case = Case(subject="deit_tiny_patch16_224", implementation="sdpa", resolution=224)
    rows = [(0.0, 10.0, 30.0, "patch_embed"), (40.0, 5.0, 35.0, "blocks.0.mlp"), (50.0, 7.0, 42.0, "blocks.1.mlp.act")]
    return ProfileRecord(
        info={
            "case": case.model_dump(mode="json"),
            "label": case.label(),
            "family": "deit",
            "device_name": "A CPU (2 threads)",
            "started_at": "2026-01-01T00:00:00+00:00",
            "ceilings": {
                "precision": "float32",
                "copy_gb_per_s": 10.0,
                "product_tflop_per_s": {"float32": 0.1, "bfloat16": 0.4},
                "slow": ["float16"],
            },
            "totals": {
                "latency_ms": 80.0,
                "latency_low_ms": 79.0,
                "latency_high_ms": 81.0,
                "profiled_ms": 100.0,
                "slowdown": 1.25,
                "weights_mib": 18.0,
                "inputs_mib": 2.0,
                "other_load": 0.05,
                "other_load_after": 0.05,
                "outside_operators_share": 0.1,
                "device_busy_share": None,
                "gmacs": 3.0,
                "counted_gmacs": 3.0,
                "flop_coverage": 1.0,
                "uncounted_operators": {},
            },
            "words": ["a", "b"],
        },
        modules=(
            module("", 5.0, 95.0, "Net"),
            module("blocks.0.mlp", 30.0),
            module("blocks.1.mlp", 32.0),
            module("blocks.0.act", 13.0),
            module("blocks.1.act", 12.0),
            module("norm", 8.0),
        ),
        operators=(),
        costs=(
            cost("aten::addmm", "blocks.*.mlp", 60.0, 2.4, 60.0),
            cost("aten::gelu", "blocks.*.act", 20.0, 0.0, 20.0),
            cost("aten::add", "", 5.0, 0.0, 62.0),
            cost("aten::layer_norm", "norm", 5.0, 0.0, 40.0),
            cost("(outside operators)", "", 10.0, 0.0, 0.0),
        ),
        kernels=(),
        memory=tuple(MemoryRow(t, change, live, where, "aten::empty", "forward") for t, change, live, where in rows),
    )


def texts(figure: Figure) -> list[str]:
    return [one.get_text() for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]  # type: ignore[attr-defined]


def heading(figure: Figure) -> str:
    return " ".join(
        one.get_text() for one in figure.texts if one.get_fontweight() == "bold" and one.get_fontsize() == 12
    )


def drawn(draw: Draw, record: ProfileRecord) -> Figure:
    with look(text_as_paths=True):
        figure = draw(record)
    assert figure is not None
    return figure


def test_groups_are_ordered_by_their_own_time_and_add_up(record: ProfileRecord) -> None:
    groups = largest_groups(record.modules)
    assert [one.group for one in groups] == ["blocks.*.mlp", "blocks.*.act", "norm", ""]
    assert groups[0].self_ms == pytest.approx(62)
    assert groups[0].share == pytest.approx(0.62)
    assert sum(one.share for one in groups) == pytest.approx(1)
    assert groups[0].peak_growth_mib == 2.0


def test_titles_state_what_was_found(record: ProfileRecord) -> None:
    assert heading(drawn(draw_modules, record)) == "blocks.*.mlp takes 62% of the time"
    assert heading(drawn(draw_memory, record)) == (
        "Memory peaks in blocks.1.mlp.act (aten::empty): 22.0 MiB beyond weights and inputs"
    )
    assert heading(drawn(draw_roofline, record)) == (
        "60% of the time goes to operators at half of the matrix rate or more, 10% to operators at half of a copy's "
        "bandwidth or more"
    )


def test_a_picture_names_subject_size_batch_precision_and_device(record: ProfileRecord) -> None:
    line = "DeiT-T (deit_tiny_patch16_224), sdpa; 224 px, batch 1, float32, inference; A CPU (2 threads); 2026-01-01"
    assert subtitle(record.info) == line
    for draw in (draw_modules, draw_memory, draw_roofline):
        assert line.replace(" ", "") in "".join(texts(drawn(draw, record))).replace(" ", "")


def test_points_are_rates_over_all_calls(record: ProfileRecord) -> None:
    (product,) = operator_points(record.costs, 5)
    assert (product.label, product.share) == ("aten::addmm", pytest.approx(0.6))
    assert product.gflop_per_s == pytest.approx(80)
    assert product.intensity == pytest.approx(4.8e9 / (60 * 2**20))
    assert [point.label for point in module_points(record.costs, 5)] == ["blocks.*.mlp"]
    moving = moving_points(record.costs, 5)
    assert [point.label for point in moving] == ["aten::gelu", "aten::add", "aten::layer_norm"]
    assert moving[1].gb_per_s == pytest.approx(62 * 2**20 / 5e6)
    assert bounded_shares(record.costs) == (pytest.approx(0.6), pytest.approx(0.1))


def test_a_value_above_a_ceiling_is_drawn_where_it_is(record: ProfileRecord) -> None:
    fast = cost("aten::mm", "head", 10.0, 2.0, 10.0)  # four times the matrix rate
    figure = drawn(draw_roofline, replace(record, costs=(*record.costs, fast)))
    axes = figure.axes[0]
    heights = [float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"]  # type: ignore[index]
    assert max(heights) == pytest.approx(400)
    assert axes.get_ylim()[1] > 400
    assert any("130% of a copy" in text for text in texts(figure))


def test_the_timeline_is_above_weights_and_inputs(record: ProfileRecord) -> None:
    axes = drawn(draw_memory, record).axes[0]
    (line,) = [line for line in axes.lines if len(line.get_xdata()) > 2]  # type: ignore[arg-type]
    assert list(line.get_ydata()) == [0.0, 10.0, 15.0, 22.0]  # type: ignore[arg-type]


def test_stretches_name_the_part_and_the_number_of_a_repeated_one(record: ProfileRecord) -> None:
    found = [(one.part, one.begin, one.end) for one in stretches(record.memory)]
    assert found == [("patch_embed", 0.0, 40.0), ("blocks.0", 40.0, 50.0), ("blocks.1", 50.0, 50.0)]
    loss = MemoryRow(60.0, 1.0, 43.0, "(backward)", "", "backward")
    assert stretches([*record.memory, loss])[-1].end == 60.0
    assert len(stretches([*record.memory, loss])) == 3


def test_a_long_timeline_keeps_its_peak(record: ProfileRecord) -> None:
    rows = [MemoryRow(i / 100, 1.0, 30.0 + i % 7, f"blocks.{i // 9000}", "x", "forward") for i in range(20_000)]
    rows[12_345] = replace(rows[12_345], live_mib=99.0)
    axes = drawn(draw_memory, replace(record, memory=tuple(rows))).axes[0]
    line = max(axes.lines, key=lambda line: len(line.get_xdata()))  # type: ignore[arg-type]
    assert len(line.get_xdata()) < 6000  # type: ignore[arg-type]
    assert max(line.get_ydata()) == pytest.approx(79)  # type: ignore[arg-type]


@pytest.mark.parametrize("draw", [draw_modules, draw_memory, draw_roofline])
def test_every_word_is_inside_the_picture(record: ProfileRecord, draw: Draw) -> None:
    long = "stages.0.blocks.3.a_module_with_quite_a_long_name.and_another_one_inside"
    modules = (*record.modules, *(module(f"{long}_{n}", 20.0 - n) for n in range(20)))
    costs = (*record.costs, *(cost(f"library::{'long_' * 12}{n}", long, 9.0 - n, n % 2, 5.0) for n in range(9)))
    memory = (*record.memory, MemoryRow(60.0, 9.0, 60.0, long, "library::operator", "backward"))
    crowded = replace(record, modules=modules, costs=costs, memory=memory)
    with look(text_as_paths=True):
        figure = draw(crowded)
        assert figure is not None
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        shown = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]  # type: ignore[attr-defined]
        boxes = [(one.get_text(), one.get_window_extent()) for one in shown]  # type: ignore[attr-defined]
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y0 >= -1, text
        assert box.y1 <= height + 1, text
    names = [(text, box) for text, box in boxes if "stages" in text or "library" in text]
    for (one, first), (other, second) in combinations(names, 2):
        assert not first.shrunk(0.98, 0.9).overlaps(second.shrunk(0.98, 0.9)), (one, other)


def test_hostile_names_stay_text(record: ProfileRecord, tmp_path: Path) -> None:
    info: dict[str, Any] = {**record.info, "device_name": HOSTILE, "label": HOSTILE}
    info["case"] = {**info["case"], "subject": HOSTILE}
    hostile = replace(
        record,
        info=info,
        modules=(replace(record.modules[0], module=HOSTILE, group=HOSTILE), *record.modules),
        costs=(replace(record.costs[0], operator=HOSTILE, group=HOSTILE), replace(record.costs[1], operator=HOSTILE)),
        memory=(replace(record.memory[0], module=HOSTILE, operator=HOSTILE),),
    )
    write_figures(hostile, tmp_path)
    found = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {f"{name}.{kind}" for name in ("modules", "memory", "roofline") for kind in ("png", "svg")} <= found
    for path in (tmp_path / "figures").glob("*.svg"):
        assert "<script" not in path.read_text()


def test_nothing_to_draw_is_no_picture(record: ProfileRecord, tmp_path: Path) -> None:
    write_figures(replace(record, costs=(), memory=()), tmp_path)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"modules"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "1.25 times as long"),
        ({}, "Outside operators pass 10% of the profiled time"),
        ({"other_load_after": 0.5}, "Other processes used 50%"),
        ({"slowdown": 5.0}, "something else may have used the machine"),
        ({"slowdown": 0.5}, "slower without the profiler"),
        ({"device_busy_share": 0.75}, "no kernel runs in 25% of the time"),
    ],
)
def test_what_disturbed_a_profile_is_said(record: ProfileRecord, changes: dict[str, float], expected: str) -> None:
    info = {**record.info, "totals": {**record.info["totals"], **changes}}
    assert expected in "\n".join(disturbance(info))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        (
            {"uncounted_operators": {"aten::_trilinear": 2, "my_lib::<x>\x07": 1}, "flop_coverage": 0.9},
            ["of aten::_trilinear (2), my_lib::<x>", "The rule covers the other 90% of the calls."],
        ),
        ({"counted_gmacs": 2.0}, ["The profile saw 2.00 of the model's 3.00 GMACs"]),
    ],
)
def test_what_is_not_counted_is_said(record: ProfileRecord, changes: dict[str, Any], expected: list[str]) -> None:
    info = {**record.info, "totals": {**record.info["totals"], **changes}}
    said = "\n".join(uncounted(info))
    assert bool(said) == bool(expected)
    assert all(words in said for words in expected)
    assert "\x07" not in said
    with look(text_as_paths=True):
        figure = draw_roofline(replace(record, info=info))
    assert figure is not None
    shown = " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())
    assert all(word in shown for words in expected for word in words.split())
