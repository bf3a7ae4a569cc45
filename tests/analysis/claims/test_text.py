"""Claims as text, Markdown, CSV and JSON."""

from __future__ import annotations

import io
import json

import pandas as pd

from tests.analysis.claims.conftest import GPU, case, claim, duel
from vigbench.analysis.claims import judge_claims
from vigbench.analysis.claims.schema import Claim
from vigbench.analysis.claims.text import as_csv, as_json, as_markdown, as_text, summary

HOSTILE = "<b>|`x`| *y*"
VIG, DEIT = case("vig_tiny_patch16_224"), case("deit_tiny_patch16_224", "eager")
POINTS = [{"resolution": 512, "published": 2.0}, {"resolution": 1024, "published": 2.0}]
COUNTS = {("vig_tiny_patch16_224", 1024): {"gmacs": 25.0}}
POINT = {"resolution": 1024, "published": 25}
COUNTED = claim(id="counted", quantity="gmacs", form="value", theirs=None, sense="equal", points=[POINT])
JUDGED = judge_claims(
    claims=[claim(id="speed", statement=HOSTILE, points=POINTS), COUNTED], duels=[duel(VIG, DEIT, 2.5)], counts=COUNTS
)


def test_the_terminal_gets_a_paragraph_for_each_claim_and_a_summary() -> None:
    text = as_text(JUDGED)
    unwrapped = " ".join(text.split())
    assert "A paper (https://example.org)" in text
    assert f"OPEN       {HOSTILE}" in text
    assert "published: 2x at 512, 1024 px (abstract)" in text
    assert "2.5x (2.48 to 2.52) at 1024 px" in unwrapped
    assert "SUPPORTED  A statement" in text
    assert "\n2 claims: 1 supported, 1 open.\n" in text
    assert text.endswith("on a machine with a GPU: vigbench claims --measure")
    assert "GPU" not in as_text([one for one in JUDGED if one.verdict == "supported"])
    commands = [line.strip() for line in text.splitlines() if line.strip().startswith("vigbench ")]
    assert commands == [one.command for one in JUDGED], "never broken into lines"


def test_markdown_keeps_names_text() -> None:
    text = as_markdown(JUDGED)
    assert text.startswith(summary(JUDGED))
    assert "<b>" not in text
    assert "\\|" in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") == 9


def test_a_row_names_the_device_of_a_claim_about_speed_alone() -> None:
    rows = [line.split(" | ") for line in as_markdown(JUDGED).splitlines() if line.startswith(("| open", "| supp"))]
    assert [row[2] for row in rows] == [GPU, "any"]


def test_the_summary_says_which_refuted_claims_hold_as_their_paper_counts() -> None:
    def refuted(name: str, published: float) -> Claim:
        point, half = {"resolution": 1024, "published": published}, {"ours": 0.5}
        return claim(
            id=name, quantity="gmacs", form="value", theirs=None, sense="equal", points=[point], counted="half",
            counted_share=half,
        )  # fmt: skip

    def said(*claims: Claim) -> str:
        return summary(judge_claims(claims=list(claims), counts=COUNTS))

    halved, wrong = refuted("halved", 12.5), refuted("wrong", 2.0)
    assert said(halved) == "1 claims: 1 refuted; all refuted claims hold by the paper's own counting."
    assert said(halved, wrong) == "2 claims: 2 refuted; 1 of the refuted claims hold by the paper's own counting."
    assert said(wrong) == "1 claims: 1 refuted."


def test_what_cannot_be_measured_says_why_and_has_no_command() -> None:
    (lacking,) = judge_claims(claims=[claim(lacks="vigbench builds no such model")], duels=[duel(VIG, DEIT, 2.5)])
    lines = as_text([lacking]).splitlines()
    assert "open: vigbench builds no such model" in [line.strip() for line in lines]
    assert not any("vigbench duel" in line or "--measure" in line or line.isspace() for line in lines)
    row = as_markdown([lacking]).splitlines()[-1]
    assert row.endswith("| open: vigbench builds no such model |  |")
    assert row.split(" | ")[2] == "any"


def test_csv_has_a_row_for_each_number() -> None:
    found = pd.read_csv(io.StringIO(as_csv(JUDGED)))
    assert found["claim"].tolist() == ["speed", "speed", "counted"]
    assert found["verdict"].tolist() == ["open", "supported", "supported"]
    assert found["measured"].isna().tolist() == [True, False, False]
    assert found["measured_low"][1] < 2.5 < found["measured_high"][1]


def test_json_has_every_point() -> None:
    found = json.loads(as_json(JUDGED))
    assert [len(one["points"]) for one in found] == [2, 1]
    assert found[1]["points"][0]["measured"]["value"] == 25.0
    assert found[0]["points"][1]["verdict"] == "supported"
    assert found[0]["points"][0]["measured"] is None
