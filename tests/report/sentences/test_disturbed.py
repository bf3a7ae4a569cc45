"""On a busy machine no sentence of the page is more certain than its data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from vigbench.records.schema import Record
from vigbench.report.curves import all_panels
from vigbench.report.findings import find
from vigbench.report.metrics import LATENCY, THROUGHPUT
from vigbench.report.rows import read_cases
from vigbench.report.sentences.answer import speed_line
from vigbench.report.sentences.key_figures import key_figures
from vigbench.report.sentences.scaling import scaling_lines
from vigbench.report.sentences.titles import headline, metric_title
from vigbench.report.sentences.words import Words, put_into_words

INFO = {"run": "r", "device_name": "Demo CPU"}
SDPA, EAGER = ("deit_tiny_patch16_224", "sdpa"), ("deit_tiny_patch16_224", "eager")
VIG = ("vig_tiny_patch16_224", "default")


def busy(records: list[Record], disturbed: Callable[[Record], bool], factor: float = 3.0) -> list[Record]:
    """The same, of which those that are disturbed took `factor` times as long."""

    def slower(one: Record) -> Record:
        metrics = one.metrics
        if metrics.latency_ms is None:
            return one
        times = {name: factor * getattr(metrics, name) for name in ("latency_ms", "latency_low_ms", "latency_high_ms")}
        return one.model_copy(update={"marks": ("contended",), "metrics": metrics.model_copy(update=times)})

    return [slower(one) if disturbed(one) else one for one in records]


def name_of(one: Record) -> tuple[str, str]:
    return one.case.subject, one.case.implementation


def words(frame: Any) -> Words:
    return put_into_words(find(frame, [INFO]))


def answers(found: Words) -> dict[str, str]:
    return {line.question: line.answers[0] for line in found.answers}


def test_of_disturbed_rivals_only_what_is_not_timed_is_said(make_sweep: Any, make_frame: Any) -> None:
    found = words(make_frame(busy(make_sweep(), lambda one: True)))
    assert found.headline == (
        "At 1024 px ViG-T needs 14% more activation memory than DeiT-T (sdpa); which is faster cannot be told, since "
        "34 of 34 cases were disturbed"
    )
    assert found.disturbed.startswith("34 of 34 cases were disturbed by other processes, and no conclusion rests on")
    for question in ("Fastest", "Crossover", "Growth"):
        assert answers(found)[question] == "cannot be told: 34 of 34 cases were disturbed"
    assert answers(found)["Activation memory at 1024 px"].startswith("DeiT-T (sdpa) 731 MiB")
    assert found.captions["latency_ms"].title == "No ranking by latency: 34 of 34 cases were disturbed"
    assert found.captions["throughput_per_s"].title == "No ranking by throughput: 34 of 34 cases were disturbed"
    assert found.captions["activation_memory_mib"].title.startswith("At 1024 px ViG-T needs 14% more")
    timed = ("faster", "slower", "throughput", "latency")
    assert not [what for _, what in found.key_figures if what.startswith(timed)]


def test_without_memory_the_headline_says_what_cannot_be_told(make_sweep: Any, make_frame: Any) -> None:
    frame = make_frame(busy(make_sweep((224,)), lambda one: True)).assign(
        activation_memory_mib=None, peak_memory_mib=None
    )
    assert words(frame).headline == (
        "Whether ViG-T is faster than DeiT-T (sdpa) cannot be told, since 7 of 7 cases were disturbed"
    )


def test_undisturbed_cases_speak_for_themselves(make_sweep: Any, make_frame: Any) -> None:
    """DeiT-T (eager), which nobody deploys, is disturbed throughout: what is said of the others stays as it was."""
    calm, found = (
        words(make_frame(busy(make_sweep(), rule))) for rule in (lambda _: False, lambda one: name_of(one) == EAGER)
    )
    assert found.headline == calm.headline
    assert found.disturbed == ""
    assert "DeiT-T (eager)" not in answers(found)["Fastest"].split("left out")[0]
    assert "beside DeiT-T (eager) it cannot be told: 4 of 34 cases were disturbed" in answers(found)["Crossover"]
    assert answers(found)["Growth"].endswith("; of DeiT-T (eager) it cannot be told: 4 of 34 cases were disturbed")


def test_rivals_are_compared_where_the_best_of_them_is_known(make_sweep: Any, make_frame: Any) -> None:
    """With DeiT's best implementation disturbed at the largest size, a slower one does not take its place."""
    records = busy(make_sweep(), lambda one: name_of(one) == SDPA and one.case.extent >= 768)
    assert words(make_frame(records)).headline.startswith("At 512 px ViG-T is")


def test_nobody_wins_over_a_disturbed_time_that_is_shorter(make_record: Any, make_frame: Any) -> None:
    records = [make_record("resnet50", "cnn", 224, latency=9.0), make_record("convnext_tiny", "cnn", 224, latency=8.0)]
    records.append(make_record("swin_tiny_patch4_window7_224", "windowed", 224, latency=5.0, marks=("contended",)))
    panels = all_panels(read_cases(make_frame(records)))
    assert metric_title(LATENCY, panels["latency_ms"]) == (
        "At 224 px no ranking by latency: 1 of 3 cases was disturbed"
    )
    (line,) = speed_line(panels)
    assert line.answers == ("cannot be told: 1 of 3 cases was disturbed",)
    assert not [what for _, what in key_figures(panels, {"ok": 3}, 1) if "latency" in what]


def test_a_winner_of_those_that_are_known_is_called_so(make_record: Any, make_frame: Any) -> None:
    records = [make_record("resnet50", "cnn", 224, latency=9.0), make_record("convnext_tiny", "cnn", 224, latency=8.0)]
    records.append(make_record("swin_tiny_patch4_window7_224", "windowed", 224, latency=50.0, marks=("contended",)))
    panels = all_panels(read_cases(make_frame(records)))
    assert (
        metric_title(LATENCY, panels["latency_ms"]) == "At 224 px ConvNeXt-T is the fastest of 2 undisturbed: 8.00 ms"
    )
    assert speed_line(panels)[0].answers == ("ConvNeXt-T at 224 px; left out as disturbed: Swin-T at 224 px",)
    assert ("8.00 ms", "lowest undisturbed latency: ConvNeXt-T, 224 px") in key_figures(panels, {"ok": 3}, 1)


def test_of_mostly_disturbed_times_nobody_is_the_fastest(make_record: Any, make_frame: Any) -> None:
    names = ("resnet50", "convnext_tiny", "resnet18", "resnet34")
    records = [
        make_record(name, "cnn", 224, latency=9.0 + place, marks=("contended",) * (place > 1))
        for place, name in enumerate(names)
    ]
    assert speed_line(all_panels(read_cases(make_frame(records))))[0].answers == (
        "cannot be told: 2 of 4 cases were disturbed",
    )


def test_sizes_that_count_are_said_to_be_undisturbed(make_record: Any, make_frame: Any) -> None:
    records = [
        make_record(name, family, px, latency=cost * px**2 / 1e3, marks=("contended",) * (px == 448 and cost == 2))
        for cost, name, family in ((1, *VIG[:1], "vig"), (2, SDPA[0], "deit"))
        for px in (224, 448, 896, 1792)
    ]
    crossover, _ = scaling_lines(find(make_frame(records), []))
    assert crossover.answers == ("ViG-T is faster than DeiT-T at every undisturbed size",)


def test_a_curve_that_falls_is_named_and_carries_nothing(make_record: Any, make_frame: Any) -> None:
    records = [make_record(VIG[0], "vig", px, latency=px / 10) for px in (224, 384, 512)]
    times = {224: 20.0, 384: 1651.0, 512: 870.0}
    records += [make_record(SDPA[0], "deit", px, latency=times[px], implementation="sdpa") for px in times]
    found = words(make_frame(records))
    assert found.headline.startswith("At 224 px ViG-T is"), "neither 384 nor 512 px carry a conclusion"
    (threat,) = [threat for threat in found.threats if threat.name == "Falls where it must rise: 1 time"]
    assert threat.cases == (
        "DeiT-T took longer at 384 px (1,651 ms) than at 512 px (870 ms): one of the two was disturbed"
    )


@pytest.mark.parametrize("metric", [LATENCY, THROUGHPUT])
def test_a_title_speaks_of_a_setting_in_which_something_is_known(metric: Any, make_sweep: Any, make_frame: Any) -> None:
    records = busy([*make_sweep(), *make_sweep(batch_size=8)], lambda one: one.case.batch_size == 1)
    panels = all_panels(read_cases(make_frame(records)))[metric.column]
    assert metric_title(metric, panels).startswith("At 1024 px (batch 8) ViG-T")


def test_what_is_drawn_says_that_hollow_marks_carry_no_conclusion(make_sweep: Any, make_frame: Any) -> None:
    found = words(make_frame(busy(make_sweep(), lambda one: name_of(one) == EAGER)))
    note = "Hollow marks carry no conclusion: 4 of 34 cases were disturbed"
    assert [name for name, caption in found.captions.items() if note in caption.notes] == [
        "latency_ms",
        "throughput_per_s",
    ]


def test_a_calm_run_has_no_word_of_it(make_sweep: Any, make_frame: Any) -> None:
    frame = make_frame(make_sweep())
    found = words(frame)
    assert found.disturbed == ""
    assert "disturbed" not in str((found.headline, found.answers, found.captions, found.threats))
    cases = read_cases(frame)
    assert headline(all_panels(cases), Counter(row["status"] for row in cases.rows)) == found.headline
