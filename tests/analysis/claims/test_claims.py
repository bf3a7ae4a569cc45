"""Claims as a frame."""

from __future__ import annotations

from pathlib import Path

import pytest

import vigbench
from vigbench.analysis.claims import load_claims

RESULTS = Path(__file__).parents[3] / "results"


def test_folders_and_their_frame_give_the_same_counts() -> None:
    runs = f"{RESULTS}/resolution-scaling-cpu-20261121"
    one, two = vigbench.check_claims(runs), vigbench.check_claims(vigbench.load_results(runs))
    assert one.equals(two)
    assert len(one) == sum(len(claim.points) for claim in load_claims())
    flops = one[(one["claim"] == "vig-t-flops-1024")].iloc[0]
    assert (flops["verdict"], round(flops["measured"], 2)) == ("refuted", 3.99)
    assert flops["beside"] == "as the paper counts: 5.26x: supported"


def test_duels_are_evidence_too() -> None:
    found = vigbench.check_claims([f"{RESULTS}/duel-*-cpu-20261121-*"]).set_index("claim")
    assert "2 duels" in found.loc["vig-t-speed-1024", "beside"]


def test_a_wrong_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="names no run"):
        vigbench.check_claims("nowhere/*")
