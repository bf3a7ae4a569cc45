"""A duel that is kept: one ratio with its interval and a verdict, and the files that it leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from vigbench.records.files import append_text, new_folder, starting_in, write_atomically
from vigbench.records.fingerprint import differences, fingerprint
from vigbench.records.tables import csv_text
from vigbench.runner.duel import Contestant, Effort, Pair, run_duel
from vigbench.runner.machine import describe_machine
from vigbench.stats.hierarchical import UNSEEN_SPREAD, Estimate, estimate
from vigbench.stats.verdict import DEFAULT_MARGIN, Verdict, judge, p_of_difference
from vigbench.suites.case import Case

COLUMNS = ("pair", "block", "side", "call", "duration_s")
KEPT = ("ratio", "low", "high", "base_ms", "head_ms", "verdict", "margin", "pairs")  # of a result, in duel.json


@dataclass(frozen=True)
class DuelResult:
    """Head against base.

    Attributes:
        ratio: duration of head over that of base; above 1, head takes longer.
        low, high: its 95% interval.
        base_ms, head_ms: median latency of all calls; the ratio is not made of these two, it is made of blocks.
        verdict: on head, against the margin.
        pairs: of processes.
        log_ratio: what ratio and interval are made of.
        folder: where every timed call is; None: nowhere.
    """

    ratio: float
    low: float
    high: float
    base_ms: float
    head_ms: float
    verdict: Verdict
    margin: float
    pairs: int
    log_ratio: Estimate
    folder: Path | None = None

    @classmethod
    def of(cls, pairs: Sequence[Pair], device: str, margin: float, folder: Path | None = None) -> DuelResult:
        """Hierarchical over the pairs of processes, then their blocks.

        Args:
            pairs: at least one.
            device: cpu or cuda; decides the spread between processes that is assumed where fewer than 3 pairs show it.
            margin: smallest difference that matters, as a share.
            folder: where the pairs are kept.
        """
        log_ratio = log_ratio_of(pairs, device)
        low, high = log_ratio.interval()
        sides = ([call for pair in pairs for block in side(pair) for call in block] for side in (_base, _head))
        base_ms, head_ms = (1e3 * median(calls) for calls in sides)
        verdict = judge(log_ratio, p_of_difference(log_ratio, margin), margin)
        return cls(
            ratio=math.exp(log_ratio.value),
            low=math.exp(low),
            high=math.exp(high),
            base_ms=base_ms,
            head_ms=head_ms,
            verdict=verdict,
            margin=margin,
            pairs=len(pairs),
            log_ratio=log_ratio,
            folder=folder,
        )

    def sentence(self, base: str, head: str) -> str:
        """The result in words."""
        return (
            f"{head} takes {self.ratio:.3f} times as long as {base} (95% interval {self.low:.3f} to {self.high:.3f}, "
            f"{self.pairs} pairs of processes): {self.verdict} by a margin of {self.margin:.1%}."
        )


class DuelProgress:
    """Told how a duel goes on; by itself it says nothing."""

    def environments_differ(self, differences: Mapping[str, tuple[str, str]]) -> None:
        """The two sides run in environments with these differences: field of the fingerprint -> (base, head)."""

    def pair_ended(self, so_far: DuelResult, effort: Effort) -> None:
        """Another pair of processes has ended, and its calls are on the disk."""

    def duel_ended(self, result: DuelResult) -> None:
        """All pairs have ended."""


def duel(
    base: Case,
    head: Case,
    *,
    base_python: str | Path | None = None,
    effort: Effort = Effort(),  # noqa: B008  frozen
    margin: float = DEFAULT_MARGIN,
    out: str | Path = "results",
    command_line: Sequence[str] = (),
    progress: DuelProgress | None = None,
) -> DuelResult:
    """Which of two is faster here, and by how much: interleaved blocks over several pairs of fresh processes.

    Args:
        base, head: what takes turns, see `create_case`; the ratio is head / base.
        base_python: Python of another environment, whose vigbench runs base: the same case in two builds.
        effort: how much is measured.
        margin: smallest difference that matters, as a share.
        out: gets the folder `duel-<time>` with every timed call, written pair by pair.
        command_line: for the record, what was typed.
        progress: told how it goes on.

    Raises:
        ContestantFailedError: (a ValueError) if a side fails, is wrong or takes too long.
        ValueError: if nothing can be written to `out`.
    """
    progress = progress or DuelProgress()
    sides = Contestant(base, None if base_python is None else str(base_python)), Contestant(head)
    kept = DuelFolder(Path(out), *sides, effort, list(command_line))
    if kept.differences:
        progress.environments_differ(kept.differences)
    pairs: list[Pair] = []
    for pair in run_duel(*sides, effort):
        kept.keep(pair)
        pairs.append(pair)
        result = DuelResult.of(pairs, base.device, margin, kept.folder)
        progress.pair_ended(result, effort)
    kept.finish(result)
    progress.duel_ended(result)
    return result


def log_ratio_of(pairs: Sequence[Pair], device: str) -> Estimate:
    """log(head / base), hierarchical over the pairs of processes, then their blocks."""
    return estimate([pair.log_ratios() for pair in pairs], UNSEEN_SPREAD[device])


def _base(pair: Pair) -> tuple[tuple[float, ...], ...]:
    return pair.base


def _head(pair: Pair) -> tuple[tuple[float, ...], ...]:
    return pair.head


class DuelFolder:
    """A duel on the disk: `duel.json`, and `blocks.csv` with every timed call, appended pair by pair.

    Attributes:
        folder: where.
        differences: fields of the fingerprint that differ between the two environments: (base, head).
    """

    def __init__(self, out: Path, base: Contestant, head: Contestant, effort: Effort, command_line: list[str]) -> None:
        here = describe_machine(head.case)
        there = here if base.python is None else describe_machine(base.case, base.python)
        prints = fingerprint(there), fingerprint(here)
        self.differences = differences(*prints)
        self.info: dict[str, Any] = {
            **here,
            "base": {"case": base.case.model_dump(mode="json"), "code": there["code"], "fingerprint": prints[0]},
            "head": {"case": head.case.model_dump(mode="json"), "code": here["code"], "fingerprint": prints[1]},
            "effort": asdict(effort),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command_line": command_line,
        }
        self._pairs = 0
        with starting_in(out):
            self.folder = new_folder(out, f"duel-{datetime.now(UTC):%Y%m%d-%H%M%S}")
            self._write_info()
            write_atomically(self.folder / "blocks.csv", csv_text(COLUMNS, ()))

    def keep(self, pair: Pair) -> None:
        """Append one pair's calls, on the disk before this returns."""
        rows = csv_text(COLUMNS, _rows(self._pairs, pair), header=False)
        try:
            append_text(self.folder / "blocks.csv", rows, sync=True)
        except OSError as error:
            raise ValueError(
                f"Cannot write {error.filename}: {error.strerror}. The {self._pairs} pairs before are safe in it."
            ) from error
        self._pairs += 1

    def finish(self, result: DuelResult) -> None:
        """Write what the duel came to."""
        self.info["result"] = {name: value for name, value in asdict(result).items() if name in KEPT}
        self._write_info()

    def _write_info(self) -> None:
        write_atomically(self.folder / "duel.json", json.dumps(self.info, indent=2) + "\n")


def _rows(number: int, pair: Pair) -> Iterator[tuple[int, int, str, int, float]]:
    for side, blocks in (("base", pair.base), ("head", pair.head)):
        for block, calls in enumerate(blocks):
            for call, duration_s in enumerate(calls):
                yield number, block, side, call, duration_s
