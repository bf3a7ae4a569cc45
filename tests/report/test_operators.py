"""A run of operators is shown over length, and nothing on its page speaks of images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text

from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, Status
from vigbench.report import write_page
from vigbench.report.curves import all_panels, panels
from vigbench.report.figures.curves import curve_cells
from vigbench.report.figures.sheet import compose, look
from vigbench.report.metrics import BANDWIDTH, GMACS, KERNEL, LATENCY, THROUGHPUT
from vigbench.report.page.tables import case_tables
from vigbench.report.rows import read_cases
from vigbench.report.sentences.titles import headline, metric_title
from vigbench.suites.case import Case

LENGTHS = (196, 1024, 4096, 16384)
IMPLEMENTATIONS = {
    "gla": ("torch_chunk", "triton_fused"),
    "gla_one_direction": ("torch_chunk",),
    "attention": ("sdpa",),
}
FAMILIES = {"gla": "vig", "gla_one_direction": "linear", "attention": "deit"}
SPEED = {"torch_chunk": 4.0, "triton_fused": 1.0, "sdpa": 1.0}


def operator_record(subject: str, implementation: str, length: int, heads: int = 3, **changes: Any) -> Record:
    """GLA is linear, attention quadratic; attention runs out of memory at the largest length."""
    case = Case(
        subject=subject, implementation=implementation, length=length, heads=heads, key_dim=32, value_dim=64, **changes
    )
    work = length * length / 2000 if subject == "attention" else length
    latency = SPEED[implementation] * work / 1000
    lost = subject == "attention" and length == max(LENGTHS)
    metrics = Metrics(
        latency_ms=latency,
        latency_low_ms=0.99 * latency,
        latency_high_ms=1.01 * latency,
        throughput_per_s=1e3 / latency,
        activation_memory_mib=length / 100,
        peak_memory_mib=length / 50,
        achieved_gb_per_s=0.5 * length / work / SPEED[implementation],
        achieved_tflop_per_s=0.01,
        bandwidth_share=0.01,
        extra_memory_share=0.2,
        gmacs=work / 1e4,
    )
    return Record(
        case_id=case.case_id,
        case=case,
        family=FAMILIES[subject],
        status=Status.out_of_memory if lost else Status.ok,
        reason="16384 tokens need 8 GiB: use fewer" if lost else "",
        started_at="2026-01-01T10:00:00Z",
        metrics=Metrics() if lost else metrics,
    )


def every(**changes: Any) -> list[Record]:
    return [
        operator_record(subject, implementation, length, **changes)
        for length in LENGTHS
        for subject, names in IMPLEMENTATIONS.items()
        for implementation in names
    ]


@pytest.fixture
def info(run_info: dict[str, Any]) -> dict[str, Any]:
    ceilings = {"float32": {"copy_gb_per_s": 40.0, "product_tflop_per_s": 0.1}}
    return {
        **run_info,
        "suite": "kernels-gla",
        "question": "How near does it come?",
        "command_line": ["vigbench", "run", "--suite", "kernels-gla"],
        "environment": {**run_info["environment"], "ceilings": ceilings},
        "planned_cases": 16,
    }


def test_a_curve_is_one_implementation_at_one_shape(make_frame: Any) -> None:
    found = panels(read_cases(make_frame([*every(), *every(heads=12), *every(phase="training")])), LATENCY)
    assert [panel.setting.shape for panel in found] == [(3, 32, 64), (3, 32, 64), (12, 32, 64)]
    assert len({panel.title for panel in found}) == 3
    for panel in found:
        assert panel.extents == LENGTHS
        assert {curve.label: len(curve.points) for curve in panel.curves} == {
            "GLA (torch_chunk)": 4,
            "GLA (triton_fused)": 4,
            "Causal GLA (torch_chunk)": 4,
            "Attention (sdpa)": 3,
        }
    attention = next(curve for curve in found[0].curves if curve.subject == "attention")
    assert attention.end == (16384, "out_of_memory")


def test_models_and_operators_share_no_panel_and_no_metric_of_the_other(make_sweep: Any, make_frame: Any) -> None:
    cases = read_cases(make_frame([*every(), *make_sweep()]))
    assert [bool(panel.setting.shape) for panel in panels(cases, LATENCY)] == [False, True]
    assert [panel.setting.shape for panel in panels(cases, THROUGHPUT)] == [()]
    assert [panel.setting.shape for panel in panels(cases, BANDWIDTH)] == [(3, 32, 64)]
    (models,) = [panel for panel in panels(cases, GMACS) if not panel.setting.shape]
    assert models.extents[0] == 224


def test_the_headline_sets_gla_beside_attention(make_frame: Any) -> None:
    found = all_panels(read_cases(make_frame(every())))
    # at 4096 tokens: 4096^2 / 2000 / 4096 = 2.048; twice as many bytes are no news: both hold length / 50 MiB
    expected = "At 4096 tokens GLA (triton_fused) is 2.0x faster than Attention (sdpa) and needs as much peak memory"
    assert headline(found, {"ok": 15, "out_of_memory": 1}) == expected
    title = metric_title(BANDWIDTH, found[BANDWIDTH.column])
    assert title == "At 4096 tokens GLA (triton_fused) reaches the highest bandwidth of 4: 0.500 GB/s"


def test_the_device_s_own_time_comes_first_where_there_is_one(make_frame: Any) -> None:
    frame = make_frame(every())
    frame["kernel_ms"] = frame["latency_ms"] / 10
    frame.loc[frame["subject"] == "gla", "kernel_ms"] *= 0.5
    found = all_panels(read_cases(frame))
    assert found[KERNEL.column]
    assert headline(found, {"ok": 16}).startswith("At 4096 tokens GLA (triton_fused) is 4.1x faster than")


def test_kernel_times_of_another_kind_are_not_set_beside_the_others(make_frame: Any) -> None:
    frame = make_frame(every())
    frame["kernel_ms"], frame["kernel_time_source"] = frame["latency_ms"], "events"
    other = (frame["subject"] == "attention") & (frame["length"] == 4096)
    assert other.any()
    frame.loc[other, "kernel_time_source"] = "profile"
    kernel, latency = (
        {(curve.subject, curve.implementation, one.extent) for curve in panel.curves for one in curve.points}
        for metric in (KERNEL, LATENCY)
        for panel in panels(read_cases(frame), metric)
    )
    assert {(subject, extent) for subject, _, extent in latency - kernel} == {("attention", 4096)}


def test_ticks_are_the_lengths(make_frame: Any) -> None:
    with look(text_as_paths=True):
        figure = compose(curve_cells(LATENCY, panels(read_cases(make_frame(every())), LATENCY)), 760.0)
        figure.draw_without_rendering()
    words = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    assert {"196", "1024", "4096", "16384", "Length (tokens)"} <= set(words)


@pytest.mark.parametrize("lengths", [LENGTHS, (1024,)], ids=["lines", "dots"])
def test_the_page_speaks_of_tokens_and_never_of_images(
    lengths: tuple[int, ...], make_frame: Any, info: dict[str, Any], tmp_path: Path
) -> None:
    records = [record for record in every() if record.case.length in lengths]
    text = write_page(make_frame(records), info, tmp_path).read_text(encoding="utf-8")
    shown = re.sub(r"<style>.*?</style>|<script.*?</script>|<[^>]*>", " ", text, flags=re.DOTALL)
    spoken = shown + " ".join(re.findall(r'aria-label="([^"]*)"', text))
    assert not re.search(r"\b(px|images?|resolutions?|models?)\b", spoken, flags=re.IGNORECASE)
    for part in ("tokens", "3 heads of 32/64", "A large copy reaches 40.0 GB/s", "0.100 TFLOP/s in float32"):
        assert part in spoken
    assert (tmp_path / "figures" / "achieved_gb_per_s.png").is_file()
    assert not (tmp_path / "figures" / "throughput_per_s.png").exists()


def test_the_table_has_length_and_shape(make_sweep: Any, make_frame: Any) -> None:
    table = case_tables(read_cases(make_frame(every())).rows)
    names = [name for name, _, _ in table.layout.heads()]
    assert names[:4] == ["Operator", "Length", "Shape", "Batch"]
    assert "Resolution" not in names
    assert "Throughput" not in names
    assert [cell[0] for cell in table.rows[0][:3]] == ["GLA (torch_chunk)", "196", "3 heads of 32/64"]
    both = case_tables(read_cases(make_frame([*every(), *make_sweep()])).rows)
    assert [name for name, _, _ in both.layout.heads()][:4] == ["Subject", "Resolution", "Length", "Shape"]
    assert all(len(row) == len(both.layout.heads()) for row in both.rows)


def test_an_operator_always_names_its_implementation(make_frame: Any) -> None:
    (row,) = read_cases(make_frame([operator_record("attention", "sdpa", 196)])).rows
    assert row["label"] == "Attention (sdpa)"
