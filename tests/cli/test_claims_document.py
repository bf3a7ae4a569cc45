"""docs/claims.md is what the command prints of the committed runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = ["claims", "--suite-run", "results/*-cpu-202611*", "--format", "markdown"]


@pytest.mark.slow
def test_the_page_of_claims_is_what_the_committed_runs_say() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "vigbench", *COMMAND], cwd=ROOT, capture_output=True, text=True, check=True
    )
    page = (ROOT / "docs" / "claims.md").read_text("utf-8")
    head, marker, body = page.partition("-->\n\n")
    assert marker
    assert "vigbench claims --suite-run 'results/*-cpu-202611*' --format markdown" in head
    assert body == result.stdout, "make the part after the comment anew with the command in it"
