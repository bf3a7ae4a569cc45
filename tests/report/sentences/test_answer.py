"""The short answers: who is fastest where, crossovers, exponents, memory; against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from vigbench.records.schema import Status
from vigbench.report.curves import all_panels
from vigbench.report.findings import find
from vigbench.report.rows import Sweep, read_cases
from vigbench.report.sentences.answer import memory_line, speed_line
from vigbench.report.sentences.phrases import listed, sizes, some
from vigbench.report.sentences.scaling import scaling_lines
from vigbench.suites.resolution import mean_side

SIZES = (224, 448, 896, 1792)


def found(frame: Any) -> dict[str, Any]:
    return dict(all_panels(read_cases(frame)))


def cross(make_record: Any, **case: Any) -> list[Any]:
    """A grows with the pixels, B with their square; both take 64 ms at 448 px."""
    records = []
    for px in SIZES:
        area = (px / 448) ** 2
        records.append(make_record("vig_tiny_patch16_224", "vig", px, latency=64 * area, memory=10 * area, **case))
        records.append(make_record("deit_tiny_patch16_224", "deit", px, latency=64 * area**2, memory=9 * area, **case))
    return records


def test_the_fastest_at_each_size_and_a_tie_where_the_intervals_overlap(make_record: Any, make_frame: Any) -> None:
    (line,) = speed_line(found(make_frame(cross(make_record))))
    assert line.question == "Fastest"
    assert line.answers == ("DeiT-T at 224 px; ViG-T and DeiT-T tied at 448 px; ViG-T at 896 and 1792 px",)


def test_nothing_is_fastest_of_one(make_record: Any, make_frame: Any) -> None:
    assert speed_line(found(make_frame([make_record("resnet50", "cnn", 224)]))) == []


def test_each_setting_has_its_own_answer_by_what_is_special_of_it(make_record: Any, make_frame: Any) -> None:
    records = [one for batch in (1, 2, 4, 8, 16) for one in cross(make_record, batch_size=batch)]
    (line,) = speed_line(found(make_frame(records)))
    assert [text.split(":")[0] for text in line.answers] == ["batch 1", "batch 2", "batch 4", "2 more settings below"]


def test_memory_at_1024_px_from_the_least_and_what_did_not_fit(make_sweep: Any, make_frame: Any) -> None:
    (line,) = memory_line(found(make_frame(make_sweep())))
    assert line.question == "Activation memory at 1024 px"
    (text,) = line.answers
    amounts = [float(part.split(" MiB")[0].split()[-1].replace(",", "")) for part in text.split(";")[0].split(", ")[:6]]
    assert amounts == sorted(amounts)
    assert text.endswith("out of memory: DeiT-T (eager)")


def test_memory_at_the_largest_common_size_where_1024_px_is_not_there(make_record: Any, make_frame: Any) -> None:
    records = cross(make_record)[:-1]  # DeiT-T stops at 896 px
    (line,) = memory_line(found(make_frame(records)))
    assert line.question == "Activation memory at 896 px"
    assert line.answers == ("DeiT-T 36.0 MiB, ViG-T 40.0 MiB",)


def test_the_crossover_and_the_exponents_are_those_of_the_laws(make_record: Any, make_frame: Any) -> None:
    crossover, growth = scaling_lines(find(make_frame(cross(make_record)), []))
    (text,) = crossover.answers
    assert text.startswith("ViG-T is faster than DeiT-T from ")
    where = float(text.split("from ")[1].split(" px")[0])
    assert where == pytest.approx(448, rel=0.02)
    (text,) = growth.answers
    front, values = text.split(": ")
    assert front == "Exponent of time over tokens at 1792 px"
    exponents = {name: float(value) for name, value in (part.rsplit(" ", 1) for part in values.split(", "))}
    assert exponents == {"ViG-T": pytest.approx(1, abs=0.05), "DeiT-T": pytest.approx(2, abs=0.05)}


def test_a_winner_that_never_overtakes_is_still_a_sentence(make_record: Any, make_frame: Any) -> None:
    names = ("vig_tiny_patch16_224", "vig"), ("deit_tiny_patch16_224", "deit")
    records = [
        make_record(name, family, px, latency=cost * px**2 / 1e3)
        for cost, (name, family) in zip((2, 1), names, strict=True)
        for px in SIZES
    ]
    crossover, _ = scaling_lines(find(make_frame(records), []))
    assert crossover.answers == ("ViG-T is never faster than DeiT-T",)


@pytest.mark.parametrize(("cost", "said"), [(3, "never faster than {}"), (0.1, "faster than {} at every size")])
def test_a_rival_with_fewer_sizes_is_compared_as_far_as_it_goes(
    cost: float, said: str, make_record: Any, make_frame: Any
) -> None:
    others = (("deit_tiny_patch16_224", "deit", SIZES), ("vim_tiny_patch16_224", "vim", SIZES[:-1]))
    records = [make_record("vig_tiny_patch16_224", "vig", px, latency=cost * px**2 / 1e3) for px in SIZES]
    records += [make_record(name, family, px, latency=px**2 / 1e3) for name, family, sizes in others for px in sizes]
    crossover, _ = scaling_lines(find(make_frame(records), []))
    both = f"DeiT-T and Vim-T up to {SIZES[-2]} px"
    assert crossover.answers == (f"ViG-T is {said.format(both)}",)


def test_sizes_that_are_not_square_are_said_with_all_sides(make_record: Any, make_frame: Any) -> None:
    records = []
    for side in (224, 448, 896):
        for name, family, power in (("vig_tiny_patch16_224", "vig", 1), ("deit_tiny_patch16_224", "deit", 2)):
            size, latency = f"{side}x{side * 10 // 7}", 64 * (side / 448) ** (2 * power)
            records.append(make_record(name, family, size, latency=latency))
    crossover, growth = scaling_lines(find(make_frame(records), []))
    (text,) = crossover.answers
    height, width = text.split("from ")[1].split(" px")[0].split("x")
    assert int(height) == pytest.approx(448, rel=0.02)
    assert int(width) == pytest.approx(640, rel=0.02)
    (text,) = growth.answers
    assert text.startswith("Exponent of time over tokens at 896x1280 px: ")


def test_a_run_of_one_size_has_neither(make_sweep: Any, make_frame: Any) -> None:
    assert scaling_lines(find(make_frame(make_sweep((224,))), [])) == []


def test_a_curve_that_failed_throughout_is_not_named(make_record: Any, make_frame: Any) -> None:
    lost = [make_record("resnet50", "cnn", px, status=Status.error, reason="no") for px in SIZES]
    frame = make_frame([*cross(make_record), *lost])
    lines = scaling_lines(find(frame, []))
    assert "ResNet" not in str([*lines, *speed_line(found(frame)), *memory_line(found(frame))])


def test_sizes_and_lists_in_words() -> None:
    resolution, length, wide = Sweep("Resolution", "px"), Sweep("Length", "tokens"), Sweep("Resolution", "px", "7:10")
    assert sizes([224], resolution) == "224 px"
    assert sizes([224, 384], resolution) == "224 and 384 px"
    assert sizes([196, 1024, 4096], length) == "196 to 4096 tokens"
    assert sizes([mean_side("224x320"), mean_side("448x640")], wide) == "224x320 and 448x640 px"
    assert [listed("A"), listed("AB"), listed("ABC")] == ["A", "A and B", "A, B and C"]
    assert [some("ABC", 3), some("ABCD", 3)] == [["A", "B", "C"], ["A", "B", "2 more"]]
