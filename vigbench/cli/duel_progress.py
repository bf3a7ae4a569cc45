"""What a person sees while duels go on, by themselves, in a gate or for claims: a line for each pair of processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from vigbench.analysis.growth import as_text
from vigbench.runner.claims import ClaimsProgress, Comparison
from vigbench.runner.duel import ContestantFailedError, Effort
from vigbench.runner.duel_result import DuelProgress, DuelResult
from vigbench.runner.gate import GateProgress
from vigbench.suites.duration import format_duration


class DuelLines(DuelProgress):
    """A line for each pair, unless quiet, and where the calls are."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def environments_differ(self, differences: Mapping[str, tuple[str, str]]) -> None:
        """Say each field."""
        for name, (there, here) in differences.items():
            said = f"the two environments differ in {name}: {there or 'none'} and {here or 'none'}"
            print(f"vigbench: {said}", file=sys.stderr)

    def pair_ended(self, so_far: DuelResult, effort: Effort) -> None:
        """The ratio so far."""
        if not self.quiet:
            ratio = f"ratio {so_far.ratio:.3f} ({so_far.low:.3f} to {so_far.high:.3f})"
            print(f"[{so_far.pairs}/{effort.processes}] {ratio}")

    def duel_ended(self, result: DuelResult) -> None:
        """Where its calls are."""
        if not self.quiet and result.folder is not None:
            print(f"Calls: {result.folder / 'blocks.csv'}")


class GateLines(DuelLines, GateProgress):
    """The same, after what has grown."""

    def growth_found(self, growth: pd.DataFrame) -> None:
        """What has grown."""
        print(as_text(growth), flush=True)


class ClaimsLines(DuelLines, ClaimsProgress):
    """The same for each comparison that claims lack."""

    def comparisons_found(self, count: int, out: Path) -> None:
        """How many there are."""
        print(f"{count} comparisons to measure, into {out}", file=sys.stderr)

    def comparison_started(self, comparison: Comparison, number: int, total: int) -> None:
        """Which is measured now."""
        sides = f"{comparison.ours.label()} beside {comparison.theirs.label()}"
        print(f"[{number}/{total}] {sides}", file=sys.stderr, flush=True)

    def budget_spent(self, left_out: int, left_s: float, next_s: float) -> None:
        """What is left out."""
        print(
            f"vigbench: {left_out} comparisons are left out: of the budget {format_duration(left_s)} are left, and the "
            f"next may take {format_duration(next_s)}. Give more with --budget.",
            file=sys.stderr,
        )

    def contestant_failed(self, error: ContestantFailedError) -> None:
        """Which, and why."""
        print(f"vigbench: {error}", file=sys.stderr)
