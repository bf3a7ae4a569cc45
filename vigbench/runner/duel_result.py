"""What a duel came to: one ratio with its interval and a verdict, and the files that it leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from vigbench.records.files import append_text, new_folder, starting_in, write_atomically
from vigbench.records.fingerprint import differences, fingerprint
from vigbench.records.tables import csv_text
from vigbench.runner.duel import Contestant, Effort, Pair
from vigbench.runner.machine import describe_machine
from vigbench.stats.hierarchical import UNSEEN_SPREAD, Estimate, estimate
from vigbench.stats.verdict import Verdict, judge, p_of_difference

COLUMNS = ("pair", "block", "side", "call", "duration_s")


@dataclass(frozen=True)
class Result:
    """Head against base.

    Attributes:
        ratio: duration of head over that of base; above 1, head takes longer.
        low, high: its 95% interval.
        base_ms, head_ms: median latency of all calls; the ratio is not made of these two, it is made of blocks.
        verdict: on head, against the margin.
    """

    ratio: float
    low: float
    high: float
    base_ms: float
    head_ms: float
    verdict: Verdict
    margin: float
    pairs: int

    @classmethod
    def of(cls, pairs: Sequence[Pair], device: str, margin: float) -> Result:
        """Hierarchical over the pairs of processes, then their blocks.

        Args:
            pairs: at least one.
            device: cpu or cuda; decides the spread between processes that is assumed where fewer than 3 pairs show it.
            margin: smallest difference that matters, as a share.
        """
        log_ratio = log_ratio_of(pairs, device)
        low, high = log_ratio.interval()
        sides = ([call for pair in pairs for block in side(pair) for call in block] for side in (_base, _head))
        base_ms, head_ms = (1e3 * median(calls) for calls in sides)
        verdict = judge(log_ratio, p_of_difference(log_ratio, margin), margin)
        ratio = math.exp(log_ratio.value)
        return cls(ratio, math.exp(low), math.exp(high), base_ms, head_ms, verdict, margin, len(pairs))

    def sentence(self, base: str, head: str) -> str:
        """The result in words."""
        return (
            f"{head} takes {self.ratio:.3f} times as long as {base} (95% interval {self.low:.3f} to {self.high:.3f}, "
            f"{self.pairs} pairs of processes): {self.verdict} by a margin of {self.margin:.1%}."
        )


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

    def finish(self, result: Result) -> None:
        """Write what the duel came to."""
        self.info["result"] = asdict(result)
        self._write_info()

    def _write_info(self) -> None:
        write_atomically(self.folder / "duel.json", json.dumps(self.info, indent=2) + "\n")


def _rows(number: int, pair: Pair) -> Iterator[tuple[int, int, str, int, float]]:
    for side, blocks in (("base", pair.base), ("head", pair.head)):
        for block, calls in enumerate(blocks):
            for call, duration_s in enumerate(calls):
                yield number, block, side, call, duration_s
