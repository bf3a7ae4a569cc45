"""Bound by launching or slower: the two are told apart where a run has calls and their CUDA graphs."""

from pathlib import Path
from typing import Any

import pytest

from vigbench.records.schema import Status
from vigbench.report import write_page
from vigbench.report.curves import CurvePoint, all_panels, panels
from vigbench.report.metrics import LATENCY
from vigbench.report.rows import read_cases
from vigbench.report.sentences.launching import launching_lines, share_of_launching

SIZES = (224, 448, 896)
VIG = ("vig_tiny_patch16_224", "vig", "triton_fused")
DEIT = ("deit_tiny_patch16_224", "deit", "sdpa")
CONVNEXT = ("convnext_tiny", "cnn", "default")


def found(frame: Any) -> dict[str, Any]:
    return dict(all_panels(read_cases(frame)))


def pair(
    make_record: Any, subject: tuple[str, str, str], host: float, device: dict[int, float], **case: Any
) -> list[Any]:
    """A subject whose call takes as long as host or device, whichever is slower, at each size; and its graph."""
    name, family, implementation = subject
    settings = {"implementation": implementation, "device": "cuda", "precision": "bfloat16", **case}
    records = []
    for px, busy in device.items():
        records.append(make_record(name, family, px, latency=max(host, busy), **settings))
        records.append(make_record(name, family, px, latency=busy, cuda_graph=True, **settings))
    return records


def one_image(make_record: Any, **case: Any) -> list[Any]:
    """ViG waits for its host at 224 and 448 px, DeiT at 224 px by little, ConvNeXt nowhere."""
    return [
        *pair(make_record, VIG, 4.0, dict(zip(SIZES, (1.0, 2.0, 8.0), strict=True)), **case),
        *pair(make_record, DEIT, 2.0, dict(zip(SIZES, (1.8, 6.0, 40.0), strict=True)), **case),
        *pair(make_record, CONVNEXT, 1.0, dict(zip(SIZES, (3.0, 9.0, 27.0), strict=True)), **case),
    ]


def test_what_waits_for_the_host_is_named_with_its_share_and_its_time_as_a_graph(
    make_record: Any, make_frame: Any
) -> None:
    (line,) = launching_lines(found(make_frame(one_image(make_record))))
    assert line.question == "Bound by launching"
    assert line.answers == (
        "ViG-T at 224 and 448 px: 75% of its latency at 224 px is launching; as a CUDA graph it takes 1.00 ms instead "
        "of 4.00 ms",
        "At no size: DeiT-T and ConvNeXt-T",
        "At 224 px, call by call, ViG-T is 2.0x slower than DeiT-T; as CUDA graphs, ViG-T is 1.8x faster than DeiT-T",
    )


def test_what_is_slower_as_a_graph_too_is_said_to_be(make_record: Any, make_frame: Any) -> None:
    records = [
        *pair(make_record, VIG, 1.0, dict(zip(SIZES, (4.0, 8.0, 16.0), strict=True))),
        *pair(make_record, DEIT, 1.0, dict(zip(SIZES, (2.0, 6.0, 40.0), strict=True))),
    ]
    (line,) = launching_lines(found(make_frame(records)))
    assert line.answers == (
        "At no size: ViG-T and DeiT-T",
        "At 224 px, call by call, ViG-T is 2.0x slower than DeiT-T; as CUDA graphs, ViG-T is 2.0x slower than DeiT-T",
    )


@pytest.mark.parametrize("only", [False, True])
def test_nothing_is_said_where_one_of_the_two_was_not_measured(only: bool, make_record: Any, make_frame: Any) -> None:
    records = [one for one in one_image(make_record) if one.case.cuda_graph is only]
    assert launching_lines(found(make_frame(records))) == []


def test_a_graph_that_failed_says_nothing_of_its_size(make_record: Any, make_frame: Any) -> None:
    name, family, implementation = VIG
    records = pair(make_record, VIG, 4.0, {448: 2.0})
    settings = {"implementation": implementation, "device": "cuda", "precision": "bfloat16"}
    records.append(make_record(name, family, 224, latency=4.0, **settings))
    records.append(make_record(name, family, 224, status=Status.unsupported, cuda_graph=True, **settings))
    (line,) = launching_lines(found(make_frame(records)))
    (text,) = line.answers
    assert text.startswith("ViG-T at 448 px: 50% of its latency at 448 px")


def test_a_difference_within_the_noise_is_not_launching(make_record: Any, make_frame: Any) -> None:
    name, family, implementation = VIG
    settings = {"implementation": implementation, "device": "cuda", "interval": 0.3}
    records = [
        make_record(name, family, 224, latency=1.0, **settings),
        make_record(name, family, 224, latency=0.7, cuda_graph=True, **settings),
    ]
    (line,) = launching_lines(found(make_frame(records)))
    assert line.answers == ("At no size: ViG-T",)


def test_each_setting_is_beside_its_own_graphs_and_named(make_record: Any, make_frame: Any) -> None:
    records = [*one_image(make_record), *one_image(make_record, precision="float16")]
    records += [make_record(VIG[0], "vig", 224, implementation=VIG[2], device="cuda", batch_size=64)]  # without a graph
    (line,) = launching_lines(found(make_frame(records)))
    fronts = [text.split(":")[0] for text in line.answers]
    assert fronts == ["bfloat16, batch 1"] * 3 + ["float16, batch 1"] * 3


def test_the_share_is_of_the_call_and_never_negative() -> None:
    assert share_of_launching(CurvePoint(224, 4.0), CurvePoint(224, 1.0)) == 0.75
    assert share_of_launching(CurvePoint(224, 1.0), CurvePoint(224, 1.1)) == 0.0


def test_curves_with_and_without_graphs_are_apart_on_the_page(
    make_record: Any, make_frame: Any, run_info: Any, tmp_path: Path
) -> None:
    frame = make_frame(one_image(make_record))
    drawn = panels(read_cases(frame), LATENCY)
    assert len({panel.title for panel in drawn}) == len({panel.brief for panel in drawn}) == 2
    assert sum("CUDA graph" in panel.title for panel in drawn) == 1
    page = write_page(frame, {**run_info, "device": "cuda"}, tmp_path).read_text("utf-8")
    assert "Bound by launching" in page
    assert "75% of its latency at 224 px is launching" in page
    assert "bfloat16, batch 1, inference, CUDA graph" in page
