"""The claims that come with vigbench, and what is refused."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from pydantic import ValidationError

from tests.analysis.claims.conftest import claim, require_models
from vigbench.analysis.claims import load_claims
from vigbench.analysis.claims.schema import PAPERS, Quantity
from vigbench.ops.registry import list_implementations
from vigbench.published import published
from vigbench.subjects.catalog import describe


def test_the_headlines_are_there() -> None:
    claims = {one.id: [point.published for point in one.points] for one in load_claims()}
    headlines = {
        "vig-t-flops-1024": [5.2],
        "vig-t-memory-1024": [90],
        "vig-t-speed-1024": [4.8],
        "vig-t-accuracy-1024": [20.7],
        "vig-s-parameters": [27],
        "vig-s-flops": [20],
        "vig-s-speed": [2.0],
        "vim-t-speed-1248": [2.8],
        "vim-t-memory-1248": [86.8],
        "dig-s-speed-1792": [2.5],
        "dig-s-memory-1792": [75.7],
        "dig-xl-speed-1024": [4.2],
        "dig-xl-speed-2048": [1.8],
        "glims-parameters": [47.16],
        "glims-flops": [72.30],
        "swin-unetr-parameters": [61.98],
        "swin-unetr-flops": [394.84],
        "glims-flops-ratio": [5.46, 5.46],
    }
    assert headlines.items() <= claims.items()
    assert {"vig-kernel-latency", "vig-kernel-memory", "gla-flash-attention-2"} <= claims.keys()


def test_every_paper_has_its_file() -> None:
    assert {f"{name}.toml" for name in PAPERS} == {
        one.name for one in files("vigbench.analysis.claims").iterdir() if one.name.endswith(".toml")
    }


@pytest.mark.parametrize("one", [one for one in load_claims() if not one.lacks], ids=lambda one: one.id)
def test_every_side_can_be_measured(one: Any) -> None:
    require_models(one)
    sides = [one.ours, one.theirs, *(side for other in one.beside for side in (other.ours, other.theirs))]
    for side in filter(None, sides):
        subject = describe(side.subject)
        if side.implementation:
            known = {item.name: item for item in list_implementations(subject.operator)}
            assert side.implementation in known
            half_only = "cuda" in known[side.implementation].half_only
            assert one.precision in ("float16", "bfloat16") or not half_only, side.implementation


@pytest.mark.parametrize("one", [one for one in load_claims() if one.lacks], ids=lambda one: one.id)
def test_what_vigbench_lacks_is_a_subject_that_it_does_not_have(one: Any) -> None:
    def is_here(name: str) -> bool:
        try:
            return bool(describe(name))
        except ValueError:
            return False

    assert one.lacks.startswith("vigbench ")
    assert not all(is_here(side.subject) for side in (one.ours, one.theirs) if side)


def test_ways_of_counting_are_those_of_the_published_values() -> None:
    """Two places that say the same: what a source counts, as a share of all."""
    for one in load_claims():
        for point in one.points if one.counted_share and one.quantity is Quantity.gmacs else ():
            known = published(one.ours.subject, point.resolution) or published(one.ours.subject)
            if known and known.counted_share:
                assert one.counted_share.ours == pytest.approx(float(known.counted_share), rel=0.02), one.id  # type: ignore[union-attr]


def test_every_source_is_named() -> None:
    for one in load_claims():
        assert one.source
        assert one.paper.url.startswith("https://")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"theirs": None}, "no other side"),
        ({"form": "value"}, "no other side"),
        ({"tolerance": 1}, "tolerance_percent"),
        ({"tolerance_percent": None}, "tolerance_percent"),
        ({"counted": "half"}, "both or none"),
        (
            {"counted": "half", "counted_share": {"ours": 0.5}},
            "only parameters and multiply-adds have a way of counting",
        ),
        ({"points": []}, "at least 1"),
        ({"points": [{"published": 1}]}, "resolution"),
        ({"points": [{"length": 5, "published": 1}]}, "shape"),
        ({"points": [{"published": 1}, {"published": 2}], "lacks": "vigbench builds none"}, "resolution"),
        ({"points": [{"resolution": 1, "length": 5, "published": 1}], "lacks": "vigbench builds none"}, "resolution"),
        ({"quantity": "other", "lacks": "vigbench builds none"}, "only that, has a unit"),
        ({"quantity": "other", "unit": "tokens/s"}, "such a claim lacks something"),
        ({"unit": "tokens/s", "lacks": "vigbench builds none"}, "only that, has a unit"),
        ({"ranks": 2}, "each side of which has an exchange"),
        ({"quantity": "sent_mib_per_rank"}, "of several"),
        ({"ours": {"subject": "gla", "exchange": "ring"}}, "of several"),
        ({"quantity": "sent_mib_per_rank", "counted": "half", "counted_share": {"ours": 0.5}}, "way of counting"),
        ({"shape": "3x32"}, "heads x key_dim x value_dim"),
        ({"quantity": "speed"}, "latency_ms"),
        ({"id": "Not An Id"}, "pattern"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_what_is_no_claim_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        claim(**changes)


def test_only_counts_have_a_way_of_counting() -> None:
    assert {one.quantity for one in load_claims() if one.counted} == {Quantity.params, Quantity.gmacs}
