"""The claims of the GLIMS paper, and the questions asked beside it, on the numbers that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.claims.conftest import case, duel, frame
from vigbench.analysis.claims import choose_claims, judge_claims
from vigbench.analysis.claims.schema import Quantity
from vigbench.runner.claims import count_claimed_models

FACTS = json.loads((Path(__file__).parents[2] / "golden" / "glims-models.json").read_text())
SWIN_UNETR = FACTS["swin_unetr_48"]
CLAIMS = {one.id: one for one in choose_claims(["glims-*", "swin-unetr-*"])}
COUNTED = [name for name, one in CLAIMS.items() if one.quantity.is_counted]
ASKED = {"glims-speed": "inference", "glims-memory": "inference", "glims-training-memory": "training"}
TRUE = {
    (subject, size): {"params": float(facts["params_total"]), "gmacs": facts[f"macs_{size}_4to3"]["total"] / 1e9}
    for subject, facts in (("glims", FACTS), ("swin_unetr", SWIN_UNETR))
    for size in (96, 128)
}
ESTIMATED_MIB = {  # by the lifetimes of tensors: GLIMS and Swin UNETR
    ("inference", 96): (1654, 1535),
    ("inference", 128): (3657, 3971),
    ("training", 96): (10583, 5514),
    ("training", 128): (25587, 13462),
}


def judge(name: str, counts: Any = TRUE, *args: Any, **evidence: Any) -> Any:
    (judged,) = judge_claims(*args, claims=[CLAIMS[name]], counts=counts, **evidence)
    return judged


def sides(size: int, implementation: str = "sdpa", **changes: Any) -> Any:
    here = {"resolution": size, "batch_size": 1, **changes}
    return case("glims", implementation, **here), case("swin_unetr", implementation, **here)


def changed(subject: str, **factors: float) -> Any:
    """The true counts, those of one model times a factor."""
    return {
        key: {name: value * factors.get(name, 1) if key[0] == subject else value for name, value in numbers.items()}
        for key, numbers in TRUE.items()
    }


@pytest.mark.parametrize(
    ("name", "verdict", "measured", "beside"),
    [
        ("glims-parameters", "supported", "47.16 million", ""),
        ("swin-unetr-parameters", "refuted", "62.19 million", "as the paper counts: 61.98 million: supported"),
        ("glims-flops", "refuted", "56.98 GMACs", ""),
        ("swin-unetr-flops", "refuted", "771.6 GMACs", "as the paper counts: 394.8 GMACs: supported"),
        ("glims-flops-ratio", "refuted", "5.65x at 96, 4.77x at 128 px", ""),
    ],
)
def test_what_is_counted_is_decided_by_the_true_counts(name: str, verdict: str, measured: str, beside: str) -> None:
    judged = judge(name)
    assert (judged.verdict, judged.measured_text, judged.beside_text) == (verdict, measured, beside)
    assert judged.holds_as_counted == bool(beside)


def test_every_claim_is_looked_at_here() -> None:
    assert CLAIMS.keys() == {*COUNTED, *ASKED}
    assert len(COUNTED) == 5


def test_the_ratio_holds_at_the_size_of_the_released_model_alone() -> None:
    judged = judge("glims-flops-ratio")
    assert [(point.point.extent, point.verdict) for point in judged.points] == [(96, "supported"), (128, "refuted")]
    assert judged.reason == "at 128 px"
    (halved,), (whole,) = CLAIMS["swin-unetr-flops"].points, CLAIMS["glims-flops"].points
    assert halved.published / whole.published == pytest.approx(5.46, abs=5e-3)


def test_the_share_of_parameters_is_what_thop_counts() -> None:
    share = CLAIMS["swin-unetr-parameters"].counted_share
    assert share is not None
    assert share.ours * SWIN_UNETR["params_total"] == pytest.approx(61_976_931, abs=50)


@pytest.mark.parametrize(
    ("name", "subject", "factors"),
    [
        ("glims-parameters", "glims", {"params": 1.001}),
        ("glims-parameters", "glims", {"params": 48_328_405 / 47_163_349}),  # built for 128
        ("swin-unetr-parameters", "swin_unetr", {"params": 1.001}),
        ("swin-unetr-parameters", "swin_unetr", {"params": 72_767_301 / 62_191_941}),  # use_v2
        ("swin-unetr-flops", "swin_unetr", {"gmacs": 1.02}),
        ("glims-flops", "glims", {"gmacs": 2}),
    ],
)
def test_another_model_is_refuted_in_every_way_of_counting(name: str, subject: str, factors: dict[str, float]) -> None:
    judged = judge(name, changed(subject, **factors))
    assert judged.verdict == "refuted"
    assert not judged.holds_as_counted


def test_a_ratio_below_the_published_one_is_refuted_at_96_too() -> None:
    judged = judge("glims-flops-ratio", changed("glims", gmacs=1.05))
    assert [point.verdict for point in judged.points] == ["refuted", "refuted"]


@pytest.mark.parametrize("name", ASKED)
def test_what_nobody_published_says_so(name: str) -> None:
    one = CLAIMS[name]
    assert one.statement.startswith("A question of vigbench, not of the paper: ")
    assert one.source == "a question of vigbench"
    assert one.phase == ASKED[name]
    judged = judge(name)
    assert (judged.verdict, judged.reason) == ("open", "decided on a GPU")
    assert judged.published.startswith("nothing; asked: ")
    duel_or_run = {
        True: "duel glims@sdpa swin_unetr@sdpa",
        False: "run --subject glims,swin_unetr --implementation sdpa",
    }
    assert judged.command.startswith(f"vigbench {duel_or_run[one.quantity is Quantity.latency_ms]} ")
    assert "--resolution 96 --batch-size 1 --precision float32" in judged.command
    assert ("--phase training" in judged.command) == (one.phase == "training")


@pytest.mark.parametrize(("ratio", "verdict"), [(1.8, "supported"), (0.7, "refuted"), (1.0, "open")])
def test_duels_at_both_sizes_decide_speed(ratio: float, verdict: str) -> None:
    fused = [duel(*sides(size), ratio) for size in (96, 128)]
    plain = [duel(*sides(size, "eager"), 3.0) for size in (96, 128)]
    judged = judge("glims-speed", duels=[*fused, *plain])
    assert judged.verdict == verdict
    assert judged.beside_text.startswith("with GLIMS (eager) against Swin UNETR (eager): 3x")
    assert judge("glims-speed", duels=plain).verdict == "open"
    assert judge("glims-speed", duels=fused[:1]).verdict == ("refuted" if verdict == "refuted" else "open")


@pytest.mark.parametrize(
    ("name", "verdicts"),
    [("glims-memory", ["refuted", "supported"]), ("glims-training-memory", ["refuted", "refuted"])],
)
def test_memory_as_estimated_would_decide_so(name: str, verdicts: list[str]) -> None:
    records = [
        (one, {"latency_ms": float(size), "peak_memory_mib": float(mib)})
        for (phase, size), both in ESTIMATED_MIB.items()
        for one, mib in zip(sides(size, phase=phase), both, strict=True)
    ]
    judged = judge(name, TRUE, frame(*records))
    assert [point.verdict for point in judged.points] == verdicts
    own = {(phase, size): mib for (phase, size), mib in ESTIMATED_MIB.items() if phase == ASKED[name]}
    assert all(f"{mib[0]} and {mib[1]} at {size}" in CLAIMS[name].note for (_, size), mib in own.items())


def test_the_models_have_the_counts_that_decide() -> None:
    pytest.importorskip("monai")
    found = count_claimed_models([CLAIMS[name] for name in COUNTED])
    assert found.keys() == TRUE.keys()
    for key, numbers in found.items():
        assert numbers["gmacs"] == pytest.approx(TRUE[key]["gmacs"], rel=1e-9), key
    assert found["glims", 96]["params"] == FACTS["params_total"]
    assert found["glims", 128]["params"] == 48_328_405, "positions grow with the size"
    assert {found["swin_unetr", size]["params"] for size in (96, 128)} == {SWIN_UNETR["params_total"]}
