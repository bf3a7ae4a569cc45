"""Folders as evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from vigbench.analysis.claims.sources import read_sources

RESULTS = Path(__file__).parents[3] / "results"


def test_a_pattern_finds_runs_and_duels_each_once() -> None:
    found = read_sources([f"{RESULTS}/*", f"{RESULTS}/duel-*"])
    assert found.frame is not None
    assert set(found.frame["run"]) >= {one.parent.name for one in RESULTS.glob("resolution-*/run.json")}
    assert len(found.duels) == len(list(RESULTS.glob("*/duel.json")))


def test_nothing_named_is_nothing_known() -> None:
    found = read_sources([])
    assert (found.frame, found.duels, found.accuracies) == (None, [], [])


def test_a_pattern_without_evidence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"names no run, duel or evaluation; .* run\.json, duel\.json"):
        read_sources([f"{tmp_path}/*"])
    with pytest.raises(ValueError, match="names no run"):
        read_sources([str(tmp_path)])
