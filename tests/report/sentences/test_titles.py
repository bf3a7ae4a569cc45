"""Sentences say what the numbers say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
import pytest

from vigbench.records.schema import Status
from vigbench.report.curves import CurvePoint, all_panels
from vigbench.report.metrics import ACTIVATIONS, GMACS, LATENCY, THROUGHPUT, number
from vigbench.report.rows import read_cases
from vigbench.report.sentences.titles import headline, metric_title, relation


def head(frame: pd.DataFrame) -> str:
    cases = read_cases(frame)
    return headline(all_panels(cases), Counter(row["status"] for row in cases.rows))


def pair(make_record: Any, ours: dict[str, float], sdpa: dict[str, float], eager: dict[str, float] | None) -> list[Any]:
    records = [
        make_record("vig_tiny_patch16_224", "vig", 1024, **ours),
        make_record("deit_tiny_patch16_224", "deit", 1024, implementation="sdpa", **sdpa),
    ]
    if eager:
        records.append(make_record("deit_tiny_patch16_224", "deit", 1024, implementation="eager", **eager))
    return records


def test_headline_by_hand(make_record: Any, make_frame: Any) -> None:
    # 26 / 10 = 2.6; 1 - 70 / 100 = 30%; 1 - 70 / 1000 = 93%
    ours, sdpa = {"latency": 10.0, "memory": 70.0}, {"latency": 26.0, "memory": 100.0}
    records = pair(make_record, ours, sdpa, {"latency": 48.0, "memory": 1000.0})
    assert head(make_frame(records)) == (
        "At 1024 px ViG-T is 2.6x faster than DeiT-T (sdpa) and needs 30% less activation memory, "
        "93% less than DeiT-T (eager)"
    )


def test_headline_admits_a_loss(make_record: Any, make_frame: Any) -> None:
    records = pair(make_record, {"latency": 30.0, "memory": 250.0}, {"latency": 10.0, "memory": 100.0}, None)
    assert head(make_frame(records)) == (
        "At 1024 px ViG-T is 3.0x slower than DeiT-T and needs 2.5x as much activation memory"
    )


def test_headline_compares_with_the_best_implementation_at_the_largest_shared_resolution(
    make_sweep: Any, make_frame: Any
) -> None:
    assert head(make_frame(make_sweep())).startswith("At 1024 px ViG-T is 2.7x faster than DeiT-T (sdpa)")
    without_sdpa = [r for r in make_sweep() if r.case.implementation != "sdpa"]
    area = (768 / 224) ** 2
    ratio = (9 * area + 3 * area**2) / (14 * area)
    assert head(make_frame(without_sdpa)).startswith(f"At 768 px ViG-T is {ratio:.1f}x faster than DeiT-T")


def test_headline_names_what_tells_its_setting_from_others(make_sweep: Any, make_frame: Any) -> None:
    text = head(make_frame([*make_sweep(), *make_sweep((224,), precision="bfloat16", batch_size=8)]))
    assert text.startswith("At 1024 px (float32, batch 1) ViG-T")


def test_sizes_are_never_mixed(make_record: Any, make_frame: Any) -> None:
    frame = make_frame(
        [make_record("vig_tiny_patch16_224", "vig", 224), make_record("deit_base_patch16_224", "deit", 224, latency=90)]
    )
    assert head(frame) == "At 224 px ViG-T is the fastest of 2: 10.0 ms"


def test_overlapping_intervals_are_no_difference(make_record: Any, make_frame: Any) -> None:
    wide = {"interval": 0.1}
    frame = make_frame(pair(make_record, {"latency": 10.0, **wide}, {"latency": 11.0, **wide}, None))
    assert "ViG-T is, within the noise, as fast as DeiT-T" in head(frame)
    narrow = {"interval": 0.01}
    frame = make_frame(pair(make_record, {"latency": 10.0, **narrow}, {"latency": 11.0, **narrow}, None))
    assert "ViG-T is 1.1x faster than DeiT-T" in head(frame)


@pytest.mark.parametrize(
    ("metric", "ours", "theirs", "text"),
    [
        (LATENCY, 10, 10.4, "is 1.04x faster than"),
        (LATENCY, 120, 10, "is 12x slower than"),
        (THROUGHPUT, 26, 10, "processes 2.6x as many images per second as"),
        (THROUGHPUT, 12, 10, "processes 20% more images per second than"),
        (THROUGHPUT, 5, 10, "processes 50% fewer images per second than"),
        (ACTIVATIONS, 0.7, 100, "needs 99.3% less activation memory than"),
        (ACTIVATIONS, 100.2, 100, "needs as much activation memory as"),
        (GMACS, 10, 40, "needs 4.0x fewer multiply-adds than"),
        (GMACS, 44, 40, "needs 10% more multiply-adds than"),
    ],
)
def test_relations(metric: Any, ours: float, theirs: float, text: str) -> None:
    assert relation(metric, CurvePoint(224, ours), CurvePoint(224, theirs)) == text


def test_without_vig_and_deit_the_fastest_at_the_largest_common_resolution(make_record: Any, make_frame: Any) -> None:
    records = [make_record("resnet50", "cnn", px, latency=px / 10) for px in (224, 384, 512)]
    records += [make_record("convnext_tiny", "cnn", px, latency=px / 20) for px in (224, 384)]
    frame = make_frame(records)
    assert head(frame) == "At 384 px ConvNeXt-T is the fastest of 2: 19.2 ms"
    found = all_panels(read_cases(frame))
    assert metric_title(THROUGHPUT, found[THROUGHPUT.column]) == (
        "At 384 px ConvNeXt-T processes the most images per second of 2: 52.1 images/s"
    )
    assert metric_title(ACTIVATIONS, found[ACTIVATIONS.column]) == "At 384 px all 2 tie at 100 MiB"


def test_without_any_number(make_record: Any, make_frame: Any) -> None:
    assert head(make_frame([])) == "No case of this run has ended yet"
    failed = [make_record("resnet50", "cnn", px, status=Status.out_of_memory, gmacs=None) for px in (224, 384)]
    assert head(make_frame(failed)) == "None of 2 cases gave a number: 2 out of memory"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0123, "0.0123"),
        (0.9, "0.900"),
        (9.996, "10.0"),
        (12.34, "12.3"),
        (99.96, "100"),
        (12345.6, "12,346"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
