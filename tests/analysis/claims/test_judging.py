"""Verdicts on claims from evidence whose numbers are known."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.claims.conftest import CPU, GPU, accuracy, case, claim, duel, frame
from vigbench.analysis.claims import ClaimVerdict, judge_claims, load_claims
from vigbench.analysis.claims.evidence import Amount
from vigbench.analysis.claims.judging import verdict_on
from vigbench.records.schema import Status
from vigbench.suites.axes import Device

VIG, DEIT = case("vig_tiny_patch16_224"), case("deit_tiny_patch16_224", "eager")
SDPA = case("deit_tiny_patch16_224", "sdpa")


def judge(one: Any, *args: Any, **evidence: Any) -> Any:
    (judged,) = judge_claims(*args, claims=[one], **evidence)
    return judged


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(2.5, "supported"), (1.85, "supported"), (1.7, "refuted"), (1.8, "open")]
)
def test_speed_on_a_gpu_is_decided_by_a_duel(ratio: float, verdict: str) -> None:
    judged = judge(claim(), duels=[duel(VIG, DEIT, ratio)])
    assert judged.verdict == verdict
    assert judged.device == GPU
    assert f"{ratio:.3g}x (" in judged.measured_text


def test_a_duel_counts_whichever_side_was_its_base() -> None:
    one, other = (judge(claim(), duels=[one]) for one in (duel(VIG, DEIT, 2.5), duel(DEIT, VIG, 1 / 2.5)))
    assert one.verdict == other.verdict == ClaimVerdict.supported
    assert one.points[0].measured.value == pytest.approx(other.points[0].measured.value)


def test_duels_that_contradict_each_other_leave_a_claim_open() -> None:
    judged = judge(claim(), duels=[duel(VIG, DEIT, 3.0), duel(VIG, DEIT, 1.2)])
    assert judged.verdict == ClaimVerdict.open
    assert judged.points[0].measured.low < 1.2
    assert judged.points[0].measured.high > 3.0


@pytest.mark.parametrize(
    "other",
    [
        duel(VIG, SDPA, 9.0),
        duel(VIG.model_copy(update={"resolution": 512}), DEIT.model_copy(update={"resolution": 512}), 9.0),
        duel(VIG.model_copy(update={"batch_size": 1}), DEIT.model_copy(update={"batch_size": 1}), 9.0),
        duel(VIG.model_copy(update={"tf32": True}), DEIT.model_copy(update={"tf32": True}), 9.0),
        duel(VIG.model_copy(update={"compile": True}), DEIT, 9.0),
        duel(VIG.model_copy(update={"implementation": "reference"}), DEIT, 9.0),
    ],
)
def test_a_duel_of_other_cases_decides_nothing(other: Any) -> None:
    judged = judge(claim(), duels=[other])
    assert judged.verdict == ClaimVerdict.open
    assert judged.points[0].measured is None


def test_a_run_alone_gives_a_ratio_but_no_verdict_on_speed() -> None:
    judged = judge(claim(), frame((VIG, {"latency_ms": 10.0}), (DEIT, {"latency_ms": 50.0})))
    assert judged.verdict == ClaimVerdict.open
    assert "duel" in judged.reason
    assert "5x" in judged.beside_text


def test_a_cpu_decides_neither_speed_nor_memory_and_shows_its_own() -> None:
    here = {"batch_size": 1, "device": Device.cpu}
    vig, deit = VIG.model_copy(update=here), DEIT.model_copy(update=here)
    numbers = frame(
        (vig, {"latency_ms": 10.0, "peak_memory_mib": 50.0}), (deit, {"latency_ms": 50.0, "peak_memory_mib": 400.0})
    )
    for quantity, text in (("latency_ms", "5x"), ("peak_memory_mib", "8x")):
        judged = judge(claim(quantity=quantity), numbers)
        assert (judged.verdict, judged.reason) == (ClaimVerdict.open, "decided on a GPU")
        assert judged.measured_text == ""
        assert CPU in judged.beside_text
        assert text in judged.beside_text


@pytest.mark.parametrize(("form", "published", "text"), [("times_less", 8, "8x"), ("percent_saved", 87.5, "87.5%")])
def test_memory_on_a_gpu_is_decided_by_a_run(form: str, published: float, text: str) -> None:
    memory = claim(quantity="peak_memory_mib", form=form, points=[{"resolution": 1024, "published": published}])
    numbers = frame(
        (VIG, {"latency_ms": 1.0, "peak_memory_mib": 50.0}), (DEIT, {"latency_ms": 1.0, "peak_memory_mib": 400.0})
    )
    judged = judge(memory, numbers)
    assert (judged.verdict, judged.measured_text) == (ClaimVerdict.supported, text)
    lacking = frame(
        (VIG, {"latency_ms": 1.0, "peak_memory_mib": 150.0}), (DEIT, {"latency_ms": 1.0, "peak_memory_mib": 400.0})
    )
    assert judge(memory, lacking).verdict == ClaimVerdict.refuted


def test_a_side_that_ran_out_of_memory_is_named() -> None:
    memory = claim(quantity="peak_memory_mib")
    numbers = frame((VIG, {"latency_ms": 1.0, "peak_memory_mib": 50.0}), (DEIT, {"status": Status.out_of_memory}))
    judged = judge(memory, numbers)
    assert judged.verdict == ClaimVerdict.open
    assert judged.reason == "deit_tiny_patch16_224@eager ended out of memory at 1024 px"


def test_other_sides_stand_beside_and_decide_nothing() -> None:
    beside = [{"theirs": {"subject": "deit_tiny_patch16_224", "implementation": "sdpa"}}]
    judged = judge(claim(beside=beside), duels=[duel(VIG, DEIT, 2.5), duel(VIG, SDPA, 1.1)])
    assert judged.verdict == ClaimVerdict.supported
    assert judged.beside_text.startswith("against deit_tiny_patch16_224@sdpa: 1.1x")
    assert judged.beside_text.endswith("refuted")


COUNTS = {
    ("vig_tiny_patch16_224", 1024): {"params": 6e6, "gmacs": 25.0},
    ("deit_tiny_patch16_224", 1024): {"params": 12e6, "gmacs": 100.0},
}


def test_multiply_adds_are_judged_in_full_and_as_the_paper_counts() -> None:
    flops = claim(
        quantity="gmacs",
        points=[{"resolution": 1024, "published": 5.0}],
        counted="less of ours",
        counted_share={"ours": 0.8},
    )
    judged = judge(flops, counts=COUNTS)
    assert (judged.verdict, judged.measured_text, judged.device) == (ClaimVerdict.refuted, "4x", "any machine")
    assert judged.beside_text == "as the paper counts: 5x: supported"
    assert judged.holds_as_counted


def test_parameters_are_a_share_or_millions() -> None:
    share = claim(quantity="params", form="percent_of", points=[{"resolution": 1024, "published": 50}])
    assert judge(share, counts=COUNTS).measured_text == "50%"
    value = claim(
        quantity="params", form="value", theirs=None, sense="equal", points=[{"resolution": 1024, "published": 6}]
    )
    assert (judge(value, counts=COUNTS).verdict, judge(value, counts=COUNTS).measured_text) == (
        "supported",
        "6 million",
    )
    assert judge(value).reason == "no record has its count"


def test_counts_come_from_records_too() -> None:
    flops = claim(quantity="gmacs", points=[{"resolution": 1024, "published": 4.0}])
    judged = judge(flops, frame((VIG, {"gmacs": 25.0}), (DEIT, {"gmacs": 100.0, "status": Status.out_of_memory})))
    assert judged.verdict == ClaimVerdict.supported


@pytest.mark.parametrize(("images", "verdict"), [(50_000, "supported"), (100, "open")])
def test_accuracy_needs_all_of_imagenet(images: int, verdict: str) -> None:
    points = claim(quantity="top1_percent", form="points_more", points=[{"resolution": 1024, "published": 20.7}])
    found = [accuracy("vig_tiny_patch16_224", 57.8, images), accuracy("deit_tiny_patch16_224", 37.1, images)]
    judged = judge(points, accuracies=found)
    assert judged.verdict == verdict
    assert "+20.7 points" in judged.measured_text + judged.beside_text
    assert judge(points).reason == "needs both checkpoints and ImageNet-1K"


def test_a_claim_of_several_points_is_as_good_as_its_worst() -> None:
    several = claim(points=[{"resolution": px, "published": 2.0} for px in (512, 1024)])
    at_512 = [one.model_copy(update={"resolution": 512}) for one in (VIG, DEIT)]
    assert judge(several, duels=[duel(VIG, DEIT, 2.5)]).verdict == ClaimVerdict.open
    assert judge(several, duels=[duel(VIG, DEIT, 2.5), duel(*at_512, 3.0)]).verdict == ClaimVerdict.supported
    refuted = judge(several, duels=[duel(VIG, DEIT, 2.5), duel(*at_512, 1.0)])
    assert (refuted.verdict, refuted.reason) == (ClaimVerdict.refuted, "at 512 px")


def test_each_device_that_knows_something_is_judged_on_its_own() -> None:
    here = {"batch_size": 1, "device": Device.cpu}
    duels = [duel(VIG, DEIT, 2.5), duel(VIG.model_copy(update=here), DEIT.model_copy(update=here), 1.5)]
    gpu, cpu = judge_claims(claims=[claim()], duels=duels)
    assert (gpu.device, gpu.verdict) == (GPU, ClaimVerdict.supported)
    assert (cpu.device, cpu.verdict) == (CPU, ClaimVerdict.open)
    smoke = frame((case("resnet50", "default", resolution=64, **here), {"latency_ms": 1.0}))
    assert [one.device for one in judge_claims(smoke, claims=[claim()], duels=duels[:1])] == [GPU]


@given(st.floats(0.1, 100), st.floats(0, 0.5), st.floats(0.1, 10), st.sampled_from(["equal", "at_least", "at_most"]))
def test_a_verdict_is_what_every_number_of_the_interval_would_be(
    published: float, spread: float, factor: float, sense: str
) -> None:
    one = claim(sense=sense, points=[{"resolution": 1024, "published": published}])
    value = published * factor
    amount = Amount(value, value * (1 - spread), value * (1 + spread))
    ends = {verdict_on(one, published, Amount(x, x, x)) for x in (amount.low, amount.value, amount.high)}
    found = verdict_on(one, published, amount)
    if found is not ClaimVerdict.open:
        assert ends == {found}
    elif sense != "equal":
        assert len(ends) == 2


def test_a_tie_is_not_less() -> None:
    less = claim(printed="less", tolerance=0, tolerance_percent=None, points=[{"resolution": 1024, "published": 1.0}])
    assert verdict_on(less, 1.0, Amount(1.0, 1.0, 1.0)) is not ClaimVerdict.supported
    assert verdict_on(less, 1.0, Amount(1.2, 1.1, 1.3)) is ClaimVerdict.supported
    assert verdict_on(less, 1.0, Amount(0.8, 0.7, 0.9)) is ClaimVerdict.refuted


def test_more_evidence_for_a_claim_never_turns_its_verdict_around() -> None:
    verdicts = [judge(claim(), duels=[duel(VIG, DEIT, 1 + step / 10)]).verdict for step in range(20)]
    order = [ClaimVerdict.refuted, ClaimVerdict.open, ClaimVerdict.supported]
    assert all(order.index(one) <= order.index(two) for one, two in pairwise(verdicts))
    assert set(verdicts) == set(order)


def test_without_any_evidence_everything_but_counts_is_open() -> None:
    judged = judge_claims()
    assert [one.claim for one in judged] == list(load_claims())
    assert {one.verdict for one in judged} == {ClaimVerdict.open}


def test_a_claim_that_vigbench_cannot_measure_is_open_once_whatever_is_known() -> None:
    here = {"batch_size": 1, "device": Device.cpu}
    duels = [duel(VIG, DEIT, 2.5), duel(VIG.model_copy(update=here), DEIT.model_copy(update=here), 1.5)]
    for quantity in ("latency_ms", "gmacs"):
        judged = judge(claim(quantity=quantity, lacks="vigbench builds no such model"), duels=duels, counts=COUNTS)
        assert (judged.verdict, judged.reason) == (ClaimVerdict.open, "vigbench builds no such model")
        assert (judged.measured_text, judged.beside_text, judged.command) == ("", "", "")


def test_an_interval_that_holds_the_spread_between_processes_is_not_widened_for_it_again() -> None:
    here = {"batch_size": 1, "device": Device.cpu}
    vig, deit = VIG.model_copy(update=here), DEIT.model_copy(update=here)

    def width(processes: int | None) -> float:
        numbers = {"latency_low_ms": 9.9, "latency_high_ms": 10.1, "processes": processes}
        found = frame((vig, {"latency_ms": 10.0, **numbers}), (deit, {"latency_ms": 10.0, **numbers}))
        amount = judge(claim(), found).points[0].beside[0].amount
        return float(amount.high / amount.low)

    assert width(5) < width(1) == pytest.approx(width(None))


def test_disturbed_cases_give_no_interval_and_say_why_speed_is_open() -> None:
    numbers = frame((VIG, {"latency_ms": 10.0}), (DEIT, {"latency_ms": 50.0})).assign(marks="contended")
    judged = judge(claim(), numbers)
    assert (judged.verdict, judged.reason) == (
        ClaimVerdict.open,
        "its cases were disturbed, and a ratio of speeds needs a duel",
    )
    assert judged.beside_text == "by cases minutes apart: 5x (disturbed)"


def test_disturbed_cases_still_decide_memory() -> None:
    memory = claim(quantity="peak_memory_mib", points=[{"resolution": 1024, "published": 8}])
    numbers = frame(
        (VIG, {"latency_ms": 1.0, "peak_memory_mib": 50.0}), (DEIT, {"latency_ms": 1.0, "peak_memory_mib": 400.0})
    )
    assert judge(memory, numbers.assign(marks="contended")).verdict == ClaimVerdict.supported


def test_memory_that_falls_where_it_must_rise_decides_nothing() -> None:
    smaller = DEIT.model_copy(update={"resolution": 512})
    numbers = [
        (VIG, {"latency_ms": 1.0, "peak_memory_mib": 50.0}),
        (DEIT, {"latency_ms": 9.0, "peak_memory_mib": 400.0}),
    ]
    judged = judge(
        claim(quantity="peak_memory_mib"), frame(*numbers, (smaller, {"latency_ms": 1.0, "peak_memory_mib": 900.0}))
    )
    assert (judged.verdict, judged.reason) == (
        ClaimVerdict.open,
        "its memory falls where it must rise with the size",
    )


def test_an_undisturbed_record_comes_before_a_faster_disturbed_one() -> None:
    chosen = claim(theirs={"subject": "deit_tiny_patch16_224"})
    numbers = frame((VIG, {"latency_ms": 10.0}), (DEIT, {"latency_ms": 50.0}), (SDPA, {"latency_ms": 20.0}))
    numbers["marks"] = numbers["marks"].mask(numbers["implementation"] == "sdpa", "contended")
    assert "5x (" in judge(chosen, numbers).beside_text
