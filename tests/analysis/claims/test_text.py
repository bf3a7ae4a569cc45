"""Claims as text, Markdown, CSV and JSON."""

from __future__ import annotations

import io
import json

import pandas as pd

from tests.analysis.claims.conftest import case, claim, duel
from vigbench.analysis.claims import judge_claims
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
            assert line.replace("\\|", "").count("|") == 8


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
